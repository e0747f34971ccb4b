/** Layouts of structs and unions, member by member, against gdb's `ptype /o`. */
import { spawnSync } from 'node:child_process';
import { load, report, VMLINUX } from './project.mjs';

const STRUCT = 1;
const UNION = 2;

/** Lines as gdb prints them: offset (and bit), size, text. */
const LINE = /^\/\*\s*(?:(\d+)(?::\s*(\d+))?\s*\|)?\s*(\d+)\s*\*\/\s+(.*)$/;

/** @param {number} wanted types to compare */
export async function compareLayouts(wanted, pattern = /^/) {
    const { Program } = load('src/symbols/program');
    const { openFile } = load('src/dap/symbol-files');
    const program = new Program(openFile(VMLINUX), { open: () => undefined });
    const { names, kinds } = program.names.table;
    const candidates = names
        .map((name, index) => ({ name, kind: kinds[index] }))
        .filter(({ name, kind }) => (kind === STRUCT || kind === UNION) && pattern.test(name));
    // A sample that is spread evenly, always the same.
    const step = Math.max(1, Math.floor(candidates.length / wanted));
    const chosen = candidates.filter((_, index) => index % step === 0).slice(0, wanted);
    const theirs = askGdb(chosen);
    const differences = [];
    let compared = 0;
    let members = 0;
    const several = [];
    for (const { name, kind } of chosen) {
        const keyword = kind === STRUCT ? 'struct' : 'union';
        const expected = theirs.get(`${keyword} ${name}`) ?? [];
        const type = program.findType(name, keyword, undefined);
        const found = type.complete ? layout(type) : [];
        if (expected.length === 0) continue;
        compared++;
        members += found.length;
        let problem = firstDifference(found, expected);
        if (problem !== undefined) {
            // Several programmers may have had the idea for the name: gdb shows any one's structure then, which one depends
            // on how many threads have read the file (`maint set worker-threads`).
            const others = definitions(program, name, kind);
            if (others.some(other => firstDifference(layout(other), expected) === undefined)) {
                several.push(`${keyword} ${name}`);
                problem = undefined;
            }
        }
        if (problem !== undefined) differences.push(`${keyword} ${name}: ${problem}`);
    }
    report(
        'struct layouts equal to gdb',
        `${compared - differences.length} of ${compared} types, ${members} members`,
        'at least 2,000 types, no difference',
        compared >= 2000 && differences.length === 0,
    );
    for (const difference of differences.slice(0, 10)) console.log(`       ${difference}`);
    if (several.length > 0) {
        console.log(`       gdb shows another structure of the same name, which is equal: ${several.join(', ')}`);
    }
}

/** Every structure of that name, unit by unit. */
export function definitions(program, name, kind) {
    const { NameCollector } = load('src/symbols/dwarf/name-index');
    const { dwarf } = program.info;
    return dwarf.units.flatMap(unit => {
        const collector = new NameCollector(dwarf);
        collector.add(unit);
        const { names, kinds, offsets } = collector.table;
        const at = names.findIndex((other, index) => other === name && kinds[index] === kind);
        return at < 0 ? [] : [program.types.read(dwarf.namedDie(offsets[at]))];
    });
}

function askGdb(types) {
    // In a script the first error would be the end; of commands on the command line each stands alone.
    const commands = types.flatMap(({ name, kind }) => {
        const type = `${kind === STRUCT ? 'struct' : 'union'} ${name}`;
        return ['-ex', `echo @@${type}\\n`, '-ex', `ptype /o ${type}`];
    });
    const settings = ['-ex', 'set pagination off', '-ex', 'set width 0'];
    const { stdout } = spawnSync('gdb', ['-batch', '-nx', ...settings, ...commands, VMLINUX], {
        encoding: 'utf8',
        maxBuffer: 1 << 30,
    });
    const found = new Map();
    for (const block of stdout.split(/^@@/m).slice(1)) {
        const [title, ...lines] = block.split('\n');
        const parsed = lines.map(line => LINE.exec(line)).filter(match => match !== null);
        found.set(
            title.trim(),
            parsed.slice(0).map(([, offset, bit, size, text]) => ({ offset, bit, size, text })),
        );
    }
    return found;
}

/** The lines that gdb would print for the members: records inside are unfolded, in unions there are no offsets. */
function layout(record, base = 0, lines = []) {
    const { sizeOf } = load('src/symbols/types');
    for (const { name, type, offset, bits } of record.members) {
        const inUnion = record.keyword === 'union';
        const at = bits === undefined ? base + offset : base + Math.floor(bits.offset / 8);
        const plain = withoutQualifiers(type);
        const isRecord = plain.kind === 'record' && bits === undefined;
        lines.push({
            offset: inUnion ? undefined : String(at),
            bit: inUnion || bits === undefined ? undefined : String(bits.offset % 8),
            size: String(sizeOf(type)),
            // A record's name stands behind its members.
            name: isRecord ? undefined : name,
        });
        if (isRecord) layout(plain, base + offset, lines);
        else nameless(type, lines, at);
    }
    return lines;
}

/**
 * A record without a name has its members printed behind pointers and in arrays too: behind a pointer counted from its
 * own beginning, in an array from wherever the last record before it began, which says nothing.
 */
function nameless(type, lines, at) {
    const { sizeOf } = load('src/symbols/types');
    let target = withoutQualifiers(type);
    const base = target.kind === 'pointer' ? 0 : at;
    const anyOffset = target.kind === 'array';
    while (target.kind === 'pointer' || target.kind === 'array') {
        target = withoutQualifiers(target.kind === 'pointer' ? target.to : target.element);
    }
    if (target.kind !== 'record' || target.name !== undefined) return;
    lines[lines.length - 1].name = undefined;
    for (const member of target.members) {
        const inUnion = target.keyword === 'union';
        const { offset, bits } = member;
        lines.push({
            offset: inUnion ? undefined : String(base + (bits === undefined ? offset : Math.floor(bits.offset / 8))),
            bit: inUnion || bits === undefined ? undefined : String(bits.offset % 8),
            size: String(sizeOf(member.type)),
            name: member.name,
            anyOffset,
        });
        const inner = withoutQualifiers(member.type);
        if (inner.kind === 'record' && inner.name === undefined) layout(inner, base + offset, lines);
        else nameless(member.type, lines, base + offset);
    }
}

function withoutQualifiers(type) {
    while (type.kind === 'qualified') type = type.target;
    return type;
}

function firstDifference(found, expected) {
    for (let index = 0; index < Math.max(found.length, expected.length); index++) {
        const ours = found[index];
        const theirs = expected[index];
        if (ours === undefined || theirs === undefined) {
            return `${found.length} lines, gdb has ${expected.length}: ${theirs?.text ?? ours?.name}`;
        }
        const sameOffset = ours.anyOffset === true || ours.offset === theirs.offset;
        const same = sameOffset && ours.bit === theirs.bit && ours.size === theirs.size;
        if (!same || (ours.name !== undefined && !new RegExp(`\\b${ours.name}\\b`).test(theirs.text))) {
            return `${JSON.stringify(ours)}, gdb has ${JSON.stringify(theirs)}`;
        }
    }
    return undefined;
}

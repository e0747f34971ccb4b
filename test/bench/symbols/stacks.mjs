/** Backtraces and locals at random stops of a running kernel, against gdb on core files of the same stops. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { coreFile, pageOf } from './core-file.mjs';
import { gdbText, normalized } from './gdb-text.mjs';
import { randomNumbers, startGuest } from './guest.mjs';
import { load, report, VMLINUX } from './project.mjs';

/** Instructions after which the kernel has begun with C, and until it has booted. */
const FIRST = 30_000_000;
const LAST = 900_000_000;

/** @param {number} wanted stops */
export async function compareStacks(wanted, seed = 1) {
    const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-stacks-'));
    try {
        const stops = takeStops(wanted, seed, folder);
        const theirs = askGdb(stops, folder);
        compareBacktraces(stops, theirs);
        compareLocals(stops, theirs);
    } finally {
        if (process.env.KEEP_CORES !== '1') rmSync(folder, { recursive: true });
    }
}

/** Runs the guest from stop to stop; what we find there, and a core file of each. */
function takeStops(wanted, seed, folder) {
    const { MemoryAccess } = load('src/debug/memory-access');
    const { VcpuView } = load('src/debug/vcpu-view');
    const { SourceView } = load('src/debug/source/source-view');
    const { Program, ProgramSet } = load('src/symbols/program');
    const { SymbolTable } = load('src/symbols/symbol-table');
    const { openFile } = load('src/dap/symbol-files');

    const program = new Program(openFile(VMLINUX), { open: () => undefined });
    const programs = new ProgramSet();
    programs.programs.push(program);
    const symbols = new SymbolTable([...program.symbols.all()]);
    const machine = startGuest('nokaslr');
    const { cpu } = machine.processors[0];
    const view = new VcpuView(cpu, new MemoryAccess(cpu, machine.memory), symbols, () => undefined);
    const touched = new Set();
    const read = view.memory.read.bind(view.memory);
    view.memory.read = (address, length) => {
        const bytes = read(address, length);
        for (let at = pageOf(address.offset); at < address.offset + BigInt(bytes.length); at += 0x1000n)
            touched.add(at);
        return bytes;
    };
    const source = new SourceView(view, programs, symbols);
    const random = randomNumbers(seed);
    const stops = [];
    machine.run({ instructions: FIRST });
    const each = (LAST - FIRST) / (wanted * 1.6);
    for (let tries = 0; stops.length < wanted && tries < 20 * wanted; tries++) {
        const stop = machine.run({ instructions: Math.ceil(random() * 2 * each) });
        if (!['budget', 'idle', 'stopRequested'].includes(stop.reason)) break;
        source.invalidate();
        const register = name => view.context.readRegister(name).value;
        const pc = register('rip');
        if ((register('cs') & 3n) !== 0n || !program.hasCode(pc) || cpu.activity !== 0) continue;
        touched.clear();
        const frames = source.frames ?? [];
        const locals = describeLocals(source, view);
        const rsp = register('rsp');
        const stack = Array.from({ length: 6 }, (_, index) => pageOf(rsp) + BigInt(index - 1) * 0x1000n);
        const pages = [...touched, ...stack].filter(page => read({ space: 'linear', offset: page }, 1).length === 1);
        const core = path.join(folder, `core.${stops.length}`);
        writeFileSync(
            core,
            coreFile(register, pages, page => read({ space: 'linear', offset: page }, 0x1000)),
        );
        stops.push({
            core,
            pc,
            locals,
            labels: new Set((frames[0]?.blocks ?? []).flatMap(block => [...labelsIn(block.die)])),
            frames: frames.map(({ physical, name, line, isInlined }) => ({
                pc: physical.state.pc,
                name: name ?? symbols.format(physical.state.pc)?.split('+')[0],
                line,
                hasFunction: name !== undefined,
                isInlined,
                origin: physical.origin,
                isTailCall: physical.isTailCall,
            })),
        });
    }
    machine.dispose?.();
    return stops;
}

function* labelsIn(die, depth = 0) {
    const LABEL = 0x0a;
    const ABSTRACT_ORIGIN = 0x31;
    for (const child of die.children()) {
        if (child.tag === LABEL) yield child.effectiveName;
        else if (depth < 8 && child.tag === 0x0b) yield* labelsIn(child, depth + 1);
    }
    const origin = die.reference(ABSTRACT_ORIGIN);
    if (origin !== undefined && depth < 8) yield* labelsIn(origin, depth + 1);
}

function describeLocals(source, view) {
    const found = [];
    const frame = source.frames?.[0];
    if (frame === undefined) return found;
    const { variablesOf } = load('src/debug/source/frame-variables');
    for (const variable of variablesOf(frame)) {
        if (variable.isParameter) continue;
        let text;
        try {
            text = gdbText(source.read(frame, variable), view.context);
        } catch (error) {
            text = `<error: ${error.message}>`;
        }
        found.push({ name: variable.name, text });
    }
    return found;
}

function askGdb(stops, folder) {
    const script = path.join(folder, 'script');
    const settings = [
        ...['pagination off', 'width 0', 'print symbol off', 'print repeats unlimited', 'print elements unlimited'],
        ...[
            'print frame-arguments none',
            'print max-depth unlimited',
            'print entry-values no',
            'filename-display basename',
        ],
    ];
    const commands = stops.map(
        ({ core }, index) =>
            `core-file ${core}\necho @@${index}\\n\nbt 64\necho @@locals\\n\ninfo locals\necho @@end\\n\n`,
    );
    writeFileSync(script, `${settings.map(text => `set ${text}\n`).join('')}${commands.join('')}`);
    const { stdout } = spawnSync('gdb', ['-batch', '-nx', '-x', script, VMLINUX], {
        encoding: 'utf8',
        maxBuffer: 1 << 30,
    });
    if (process.env.KEEP_CORES === '1') writeFileSync(path.join(folder, 'gdb.txt'), stdout);
    const found = new Map();
    for (const block of stdout.split(/^@@(?=\d)/m).slice(1)) {
        const [index] = block.split('\n', 1);
        const [backtrace, rest] = block.split(/^@@locals$/m);
        found.set(Number(index), {
            frames: backtrace
                .split('\n')
                .map(parseFrame)
                .filter(frame => frame !== undefined),
            locals: parseLocals((rest ?? '').split(/^@@end$/m)[0]),
        });
    }
    return found;
}

const FRAME = /^#\d+\s+(?:(0x[0-9a-f]+) in )?(\S+) \(.*?\)(?: at \S+?:(\d+))?(?: from .*)?$/;

function parseFrame(line) {
    const match = FRAME.exec(line);
    return match === null ? undefined : { pc: match[1], name: match[2], line: match[3] && Number(match[3]) };
}

function parseLocals(text) {
    const found = [];
    for (const line of text.split('\n')) {
        const match = /^([A-Za-z_]\w*) = (.*)$/.exec(line);
        if (match !== null) found.push({ name: match[1], text: match[2] });
    }
    return found;
}

function compareBacktraces(stops, theirs) {
    const { Program } = load('src/symbols/program');
    const { openFile } = load('src/dap/symbol-files');
    const program = new Program(openFile(VMLINUX), { open: () => undefined });
    let equal = 0;
    let further = 0;
    const different = [];
    stops.forEach(({ frames, pc }, index) => {
        const reference = theirs.get(index)?.frames ?? [];
        // Behind the outermost frame gdb sees one more, of an address that is none.
        while (reference.at(-1)?.name === '??') reference.pop();
        const common = commonPrefix(frames, reference);
        if (isAllButTailCalls(frames, reference)) {
            // Functions that are no longer on the stack, and that gdb does not tell.
            further++;
        } else if (common === frames.length && common === reference.length) {
            equal++;
        } else if (common < frames.length && lacksTables(program, frames, common)) {
            // Assembly code: gdb guesses, the kernel's ORC tables know.
            further++;
        } else {
            const show = list => list.map(frame => `${frame.name}:${frame.line ?? ''}`).join(' < ');
            different.push(`0x${pc.toString(16)}: ${show(frames)}\n         gdb: ${show(reference)}`);
        }
    });
    const share = ((equal + further) / stops.length) * 100;
    report(
        'backtraces equal to gdb or better',
        `${share.toFixed(2)} % of ${stops.length} stops (${equal} equal, ${further} further: through code that only ORC describes, or with tail calls)`,
        'at least 99 % of 1,000',
        stops.length >= 1000 && share >= 99,
    );
    for (const text of different.slice(0, 10)) console.log(`       ${text}`);
}

/** Whether the frames of which gdb went astray have no call frame information. */
function lacksTables(program, frames, common) {
    const [cfi] = program.unwinders;
    // The frame that gdb had to unwind to get to the one that differs; inlined frames belong to it.
    for (let index = common - 1; index >= 0; index--) {
        if (frames[index].isInlined) continue;
        const { pc } = frames[index];
        return cfi.rowAt(program.linked(pc)) === undefined && cfi.rowAt(program.linked(pc - 1n)) === undefined;
    }
    return cfi.rowAt(program.linked(frames[0].pc)) === undefined;
}

function isAllButTailCalls(ours, theirs) {
    let at = 0;
    let left = 0;
    for (const frame of ours) {
        if (at < theirs.length && sameFrame(frame, theirs[at])) at++;
        else if (frame.isTailCall) left++;
        else return false;
    }
    return at === theirs.length && left > 0;
}

function commonPrefix(ours, theirs) {
    let index = 0;
    while (index < ours.length && index < theirs.length && sameFrame(ours[index], theirs[index])) index++;
    return index;
}

function sameFrame(ours, theirs) {
    // Of several names of an address in assembly code, either will do.
    const sameName = ours.name === theirs.name || (!ours.hasFunction && BigInt(theirs.pc ?? 0) === ours.pc);
    return sameName && (ours.line ?? undefined) === theirs.line;
}

function compareLocals(stops, theirs) {
    let compared = 0;
    let equal = 0;
    let stopsWithLocals = 0;
    const different = [];
    stops.forEach(({ locals, labels, frames, pc }, index) => {
        const reference = theirs.get(index);
        if (reference === undefined || reference.frames[0]?.name !== frames[0]?.name) return;
        if (reference.locals.length === 0 && locals.length === 0) return;
        stopsWithLocals++;
        const left = [...locals];
        for (const { name, text } of reference.locals) {
            const at = left.findIndex(local => local.name === name);
            const ours = at < 0 ? undefined : left.splice(at, 1)[0].text;
            // gdb lists the labels of goto among the variables.
            if (ours === undefined && labels.has(name)) continue;
            compared++;
            if (ours !== undefined && normalized(ours) === normalized(text)) equal++;
            else
                different.push(
                    `0x${pc.toString(16)} ${frames[0].name}: ${name} = ${ours?.slice(0, 200)}, gdb: ${text.slice(0, 200)}`,
                );
        }
        for (const { name } of left) {
            compared++;
            different.push(`0x${pc.toString(16)} ${frames[0].name}: ${name}: gdb has none`);
        }
    });
    const share = compared === 0 ? 0 : (equal / compared) * 100;
    report(
        'locals equal to gdb',
        `${share.toFixed(2)} % of ${compared} at ${stopsWithLocals} stops with locals`,
        'at least 98 % at 500 stops',
        stopsWithLocals >= 500 && share >= 98,
    );
    for (const text of different.slice(0, 15)) console.log(`       ${text}`);
}

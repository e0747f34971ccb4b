/**
 * What a kernel tells of itself in memory, with nothing but its bzImage, against its symbol file: names and addresses,
 * layouts of types, and stacks at random stops.
 */
import { randomNumbers, startGuest } from './guest.mjs';
import { definitions } from './layouts.mjs';
import { load, report, VMLINUX } from './project.mjs';

/** Instructions after which the kernel has begun with C, and until it has booted. */
const FIRST = 100_000_000;
const LAST = 900_000_000;

/** @param {number} wanted stops */
export async function compareMemory(wanted, seed = 3) {
    const { Program, ProgramSet } = load('src/symbols/program');
    const { openFile } = load('src/dap/symbol-files');
    const { MachineInspection } = load('src/debug/machine-inspection');
    const { SymbolTable } = load('src/symbols/symbol-table');
    const { MemoryKernels } = load('src/linux/memory-kernel');

    const program = new Program(openFile(VMLINUX), { open: () => undefined });
    const programs = new ProgramSet();
    programs.programs.push(program);
    // The kernel chooses its own place.
    const machine = startGuest();
    machine.run({ instructions: FIRST });

    const started = performance.now();
    const kernel = new MemoryKernels().discover(new MachineInspection(machine, new SymbolTable(), 0));
    const took = performance.now() - started;
    if (kernel === undefined) throw new Error('the kernel was not found in memory');
    console.log(`       ${kernel.description}; found in ${took.toFixed(0)} ms`);
    program.slide = kernel.address('_text') - program.firstCode();

    compareNames(program, kernel);
    compareLayouts(program, kernel);
    compareStacks(machine, { programs, program, kernel, wanted, seed });
}

/** Every function of the symbol file, by its name and address. */
function compareNames(program, kernel) {
    const names = new Set([...program.symbols.startingWith('')].map(({ name }) => name));
    const functions = [...names].flatMap(name => program.symbols.named(name)).filter(({ kind }) => kind === 'function');
    const missing = [];
    let wrong = 0;
    for (const { name, address: linear } of functions) {
        if (!kernel.symbols.named(name).some(symbol => symbol.address === linear)) {
            missing.push(`${name} 0x${linear.toString(16)}`);
        }
        const found = kernel.symbols.at(linear);
        if (found === undefined || found.offset !== 0n) wrong++;
    }
    const share = (1 - missing.length / functions.length) * 100;
    report(
        'functions by name and address without symbol files',
        `${share.toFixed(3)} % of ${functions.length} (${wrong} addresses without a name that begins there)`,
        'at least 99.9 %',
        share >= 99.9,
    );
    for (const text of missing.slice(0, 5)) console.log(`       lacks ${text}`);
}

function compareLayouts(program, kernel) {
    const { declaration } = load('src/symbols/types');
    let compared = 0;
    let members = 0;
    let equal = 0;
    const different = [];
    const seen = new Set();
    for (const { name, keyword } of kernel.btf.records()) {
        const key = `${keyword} ${name}`;
        if (seen.has(key)) continue;
        seen.add(key);
        const ours = kernel.findType(name, keyword);
        const theirs = program.findType(name, keyword, undefined);
        if (theirs === undefined || !theirs.complete) continue;
        compared++;
        members += ours.members.length;
        const show = type => [
            `${type.size}`,
            ...type.members.map(
                member =>
                    `${member.offset} ${member.bits?.offset ?? ''}:${member.bits?.size ?? ''} ${asBtf(declaration(member.type, member.name ?? ''))}`,
            ),
        ];
        const difference = firstDifference(show(ours), show(theirs));
        // Several programmers may have had the idea for the name.
        const isOneOf = () =>
            definitions(program, name, keyword === 'struct' ? 1 : 2).some(
                other => firstDifference(show(ours), show(other)) === undefined,
            );
        if (difference === undefined || isOneOf()) equal++;
        else different.push(`${key}: ${difference}`);
    }
    const share = (equal / compared) * 100;
    report(
        'layouts of structs and unions from BTF equal to DWARF’s',
        `${share.toFixed(2)} % of ${compared} types, ${members} members`,
        'at least 2,000 types, no difference',
        compared >= 2000 && equal === compared,
    );
    for (const text of different.slice(0, 8)) console.log(`       ${text}`);
}

/** BTF has one dimension of several, and does not tell `[0]` from `[]`. */
function asBtf(text) {
    return text
        .replace(/(?:\[\d+\]){2,}/g, dimensions => {
            const counts = [...dimensions.matchAll(/\d+/g)].map(Number);
            return `[${counts.reduce((product, count) => product * count)}]`;
        })
        .replaceAll('[0]', '[]');
}

function firstDifference(ours, theirs) {
    const at = ours.findIndex((line, index) => line !== theirs[index]);
    if (at < 0 && ours.length === theirs.length) return undefined;
    const index = at < 0 ? ours.length : at;
    return `${ours[index] ?? 'nothing'}, DWARF: ${theirs[index] ?? 'nothing'}`;
}

function compareStacks(machine, { programs, program, kernel, wanted, seed }) {
    const { VcpuView } = load('src/debug/vcpu-view');
    const { MemoryAccess } = load('src/debug/memory-access');
    const { SourceView } = load('src/debug/source/source-view');
    const { ProgramSet } = load('src/symbols/program');
    const { SymbolTable } = load('src/symbols/symbol-table');
    const { cpu } = machine.processors[0];
    const memory = new MemoryAccess(cpu, machine.memory);
    const given = new SymbolTable();
    given.addSource(program.symbols);
    const own = new SymbolTable();
    own.addSource(kernel.symbols);
    const theirs = new SourceView(new VcpuView(cpu, memory, given, () => undefined), programs, given);
    const ours = new SourceView(new VcpuView(cpu, memory, own, () => undefined), new ProgramSet(), own, () => kernel);
    const random = randomNumbers(seed);
    const each = (LAST - FIRST) / (wanted * 1.6);
    let stops = 0;
    let frames = 0;
    let equal = 0;
    const different = [];
    for (let tries = 0; stops < wanted && tries < 20 * wanted; tries++) {
        const stop = machine.run({ instructions: Math.ceil(random() * 2 * each) });
        if (!['budget', 'idle', 'stopRequested'].includes(stop.reason)) break;
        ours.invalidate();
        theirs.invalidate();
        const pc = cpu.get64 && ours.view.context.readRegister('rip').value;
        if ((ours.view.context.readRegister('cs').value & 3n) !== 0n || !program.hasCode(pc) || cpu.activity !== 0)
            continue;
        stops++;
        const here = describe(ours.frames, own);
        // Inlined calls have no frames of their own, and functions that were left by tail calls no return addresses.
        const there = describe(
            theirs.frames?.filter(({ isInlined, physical }) => !isInlined && physical.isTailCall !== true),
            given,
        );
        frames += there.length;
        if (here.length === there.length && here.every((frame, index) => isSame(frame, there[index]))) equal++;
        else different.push(`${show(here)}\n         with vmlinux: ${show(there)}`);
    }
    const share = (equal / stops) * 100;
    report(
        'stacks without symbol files equal to those with vmlinux',
        `${share.toFixed(2)} % of ${stops} stops, ${frames} frames`,
        'at least 99 % of 200',
        stops >= 200 && share >= 99,
    );
    for (const text of different.slice(0, 8)) console.log(`       ${text}`);
}

function describe(frames, symbols) {
    return (frames ?? []).map(({ physical: { state } }) => ({
        pc: state.pc,
        symbol: symbols.at(state.isReturn ? state.pc - 1n : state.pc),
    }));
}

/** Of several names of a place either will do. */
function isSame(ours, theirs) {
    const place = ({ symbol }) => symbol?.symbol.address;
    return ours.pc === theirs.pc && (theirs.symbol === undefined || place(ours) === place(theirs));
}

function show(frames) {
    return frames.map(({ pc, symbol }) => symbol?.symbol.name ?? `0x${pc.toString(16)}`).join(' < ');
}

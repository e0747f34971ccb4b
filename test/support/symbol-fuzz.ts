/** Damaged symbol files: what is read of them must end, in good time, with typed errors at most. */
import { HyperscopeError } from '../../src/common/errors';
import { memorySource } from '../../src/symbols/byte-source';
import { evaluateLocation, type ExpressionContext } from '../../src/symbols/dwarf/expression';
import { expressionAt } from '../../src/symbols/dwarf/location-lists';
import { At } from '../../src/symbols/dwarf/constants';
import { Program } from '../../src/symbols/program';
import { bare, declaration, sizeOf } from '../../src/symbols/types';

export function randomNumbers(seed: number): (below: number) => number {
    let state = seed >>> 0;
    return below => {
        state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
        return state % below;
    };
}

/** Bytes as accidents and attackers leave them. */
export function damaged(original: Uint8Array, random: (below: number) => number): Uint8Array {
    let bytes = original.slice();
    for (let count = 1 + random(8); count > 0; count--) {
        const at = random(bytes.length);
        switch (random(7)) {
            case 0:
                bytes[at] ^= 1 << random(8);
                break;
            case 1:
                bytes[at] = 0xff;
                break;
            case 2:
                bytes[at] = 0;
                break;
            case 3: // a giant count or offset
                bytes.fill(0xff, at, at + 1 + random(8));
                break;
            case 4: // a piece of the file elsewhere: cycles
                bytes.copyWithin(at, random(bytes.length), random(bytes.length));
                break;
            case 5:
                bytes[at] = random(256);
                break;
            default:
                if (random(20) === 0) bytes = bytes.slice(0, at + 1);
        }
    }
    return bytes;
}

const CONTEXT: ExpressionContext = {
    addressSize: 8,
    offsetSize: 4,
    version: 5,
    register: number => BigInt(number) * 8n,
    memory: (_address, size) => new Uint8Array(size),
    relocate: address => address,
    frameBase: () => 0x1000n,
    cfa: () => 0x1000n,
    entryValue: () => 1n,
    indexedAddress: () => 0x1000n,
    baseType: () => ({ size: 4, signed: true, float: false }),
};

/** Reads everything that the debugger could want; anything but a typed error comes out. */
export function readEverything(bytes: Uint8Array): void {
    const program = attempt(() => new Program(memorySource('fuzzed', bytes), { open: () => undefined }));
    if (program === undefined) return;
    const { info } = program;
    attempt(() => [...program.symbols.all()]);
    attempt(() => program.symbols.at(0x401000n));
    attempt(() => program.elf.buildId);
    attempt(() => program.info.dwarf.shared);
    attempt(() => info.sources.paths());
    attempt(() => info.locate('program.c', 25));
    attempt(() => info.linesWithCode('shapes.h', 1, 100));
    const names = attempt(() => program.names?.table.names) ?? [];
    for (const name of names.slice(0, 40)) {
        for (const keyword of ['struct', 'union', 'enum', undefined] as const) {
            attempt(() => {
                const type = program.findType(name, keyword, undefined);
                if (type === undefined) return;
                declaration(type, 'x');
                sizeOf(type);
                const plain = bare(type);
                if (plain.kind === 'record') plain.members.slice(0, 100).forEach(member => sizeOf(member.type));
                if (plain.kind === 'enum') void plain.enumerators;
            });
        }
        attempt(() => program.findGlobal(name, undefined));
    }
    const start = program.elf.sections.find(({ name }) => name === '.text')?.address ?? 0x401000;
    for (let step = 0; step < 22; step++) {
        const address = start + 24 * step;
        attempt(() => info.positionAt(address));
        attempt(() => {
            for (const block of info.blocksAt(address)) {
                info.nameOf(block);
                info.callSiteOf(block);
                for (const die of block.variables) {
                    attempt(() => program.types.typeOf(die));
                    attempt(() => {
                        const expression = expressionAt(die, At.Location, address);
                        if (expression !== undefined) evaluateLocation(expression, CONTEXT);
                    });
                }
            }
        });
        const registers = Array.from({ length: 17 }, (_, index) => BigInt(index) * 0x100n);
        for (const unwinder of program.unwinders) {
            const frame = { pc: BigInt(address), registers, isReturn: false };
            attempt(() => unwinder.step(frame, { readMemory: (_at, size) => new Uint8Array(size).fill(1) }));
        }
    }
}

function attempt<T>(read: () => T): T | undefined {
    try {
        return read();
    } catch (error) {
        if (error instanceof HyperscopeError) return undefined;
        throw error;
    }
}

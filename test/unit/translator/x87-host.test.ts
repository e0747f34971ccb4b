import assert from 'node:assert/strict';
import { ROWS, Segment } from '../../../src/isa/x86';
import { Flag, FlagAux, StateOffset } from '../../../src/machine/state';
import { type Extended } from '../../../src/softfloat';
import { x87Semantics } from '../../../src/translator/lift/x87';
import { nativeX86, needs, tool } from '../../support/requirements';
import { Random, operands32, operands64, operands80 } from '../softfloat/operands';
import { Fault, X87Machine } from './x87-machine';
import { STACK_START, STATE_BYTES, type X87Case, type X87Outcome, runNatively } from './x87-oracle';

/** Cases for each encoding; the environment variable multiplies them. */
const CASES = 150 * Number(process.env['HYPERSCOPE_X87_SCALE'] ?? 1);

const ARITHMETIC_FLAGS: number = Flag.Arithmetic;
const MEMORY = 0x800;
const FCS = 0x33;

/** Their last bit, and whether it was rounded up, is where processors differ from each other and from the true value. */
const APPROXIMATE = /^.. .. (F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)\b/;
const C1 = 0x200;

/** One encoding of a row: code bytes that address memory, if any, as [rSI]. */
interface Encoding {
    readonly name: string;
    readonly code: readonly number[];
    readonly memory: string | undefined;
}

/** Every x87 row with operand size prefix or without where that matters, and each register for `+i`. */
function encodings(): Encoding[] {
    return ROWS.filter(row => Object.prototype.hasOwnProperty.call(x87Semantics, row.mnemonic)).flatMap(
        (row): Encoding[] => {
            const name = `${row.opcode} ${row.mnemonic} ${row.operands.join(',')}`;
            const [opcode, second = ''] = row.opcode.split(' ');
            const first = parseInt(opcode, 16);
            if (second.startsWith('/')) {
                const code = [first, (Number(second[1]) << 3) | 6];
                const memory = row.operands[0].slice(1);
                return memory === ''
                    ? [
                          { name, code, memory },
                          { name: `o16 ${name}`, code: [0x66, ...code], memory },
                      ]
                    : [{ name, code, memory }];
            }
            if (second === '') {
                return [{ name, code: [first], memory: undefined }];
            }
            const registers = second.endsWith('+i') ? [0, 1, 2, 3, 4, 5, 6, 7] : [0];
            return registers.map(i => ({
                name: `${name} (i = ${i})`,
                code: [first, parseInt(second, 16) + i],
                memory: undefined,
            }));
        },
    );
}

function writeExtended(buffer: Buffer, at: number, value: Extended): void {
    buffer.writeBigUInt64LE(value.significand, at);
    buffer.writeUInt16LE(value.signExponent, at + 8);
}

/** Ordinary magnitudes more often than the exponent's range would make them. */
function randomExtended(random: Random): Extended {
    const source = operands80(random);
    switch (random.below(4)) {
        case 0:
            return source.within(-4, 3);
        case 1:
            return source.within(-70, 70);
        default:
            return source.one();
    }
}

/** A random state; most have all exceptions masked, and many a sticky flag, condition codes and empty registers. */
function randomState(random: Random): Buffer {
    const state = Buffer.alloc(STATE_BYTES);
    const masks = random.below(3) === 0 ? random.below(64) : 0x3f;
    state.writeUInt16LE(masks | (random.below(4) << 8) | (random.below(4) << 10), 0);
    // Sticky flags that an unmasked exception would make pending are the exception here.
    const sticky = random.below(64) & (random.below(8) === 0 ? 0x3f : masks);
    const status = (random.bits32() & 0x4740) | sticky | (random.below(8) << 11);
    state.writeUInt16LE(status, 4);
    let tags = 0;
    const full = random.below(3) !== 0;
    const { a, b, c } = operands80(random).tuple();
    const related = random.below(3) === 0 ? [a, b, c, b, a, c, a, b] : undefined;
    for (let i = 0; i < 8; i++) {
        const empty = full ? random.below(8) === 0 : random.below(2) === 0;
        tags |= (empty ? 3 : 0) << (2 * i);
        writeExtended(state, STACK_START + 10 * i, related?.[i] ?? randomExtended(random));
    }
    state.writeUInt16LE(tags, 8);
    state.writeUInt32LE(random.bits32(), 12);
    state.writeUInt32LE((random.below(0x800) << 16) | random.below(0x10000), 16);
    state.writeUInt32LE(random.bits32(), 20);
    state.writeUInt16LE(random.below(0x10000), 24);
    return state;
}

function randomMemory(random: Random, kind: string | undefined): Buffer {
    const memory = Buffer.alloc(128);
    for (let i = 0; i < 128; i += 4) {
        memory.writeUInt32LE(random.bits32(), i);
    }
    switch (kind) {
        case 'd':
            memory.writeUInt32LE(random.below(4) === 0 ? Number(random.textured(32)) : operands32(random).one(), 0);
            break;
        case 'q':
            memory.writeBigUInt64LE(random.below(4) === 0 ? random.textured(64) : operands64(random).one(), 0);
            break;
        case 't':
            if (random.below(2) === 0) {
                writeExtended(memory, 0, randomExtended(random));
            } else {
                for (let i = 0; i < 9; i++) {
                    memory[i] = random.below(10) * 16 + random.below(10);
                }
            }
            break;
        case '':
            randomState(random).copy(memory);
    }
    return memory;
}

function randomCase(random: Random, { code, memory }: Encoding): X87Case {
    const rflags = 0x202 | (random.bits32() & ARITHMETIC_FLAGS);
    return {
        state: randomState(random),
        memory: randomMemory(random, memory),
        code,
        rflags,
        ax: random.below(0x10000),
    };
}

/** Runs a case on the interpreter tier, between a FRSTOR and a FNSAVE of its own. */
function runInterpreted(machine: X87Machine, { state, memory, code, rflags, ax }: X87Case): X87Outcome {
    const frstor = [0xdd, 0x26];
    const fnsave = [0xdd, 0x36];
    const rip = 0x12340000;
    machine.setState32(StateOffset.fsw, 0);
    machine.setState32(6 * 8, 0x100);
    machine.guest(0x100, STATE_BYTES).set(state);
    machine.run(frstor);
    machine.guest(MEMORY, 128).set(memory);
    machine.setState64(0, BigInt(ax));
    machine.setState32(6 * 8, MEMORY);
    setFlags(machine, rflags);
    let vector = 0;
    try {
        machine.run(code, undefined, rip);
    } catch (error) {
        if (!(error instanceof Fault)) {
            throw error;
        }
        vector = error.vector;
    }
    machine.setState32(6 * 8, 0x100);
    machine.run(fnsave);
    return {
        state: Buffer.from(machine.guest(0x100, STATE_BYTES)),
        memory: Buffer.from(machine.guest(MEMORY, 128)),
        rflags: flags(machine),
        ax: machine.state16(0),
        vector,
        rip,
        rsi: MEMORY,
    };
}

function setFlags(machine: X87Machine, rflags: number): void {
    const bit = (flag: number): number => (rflags & flag ? 1 : 0);
    const zero = bit(Flag.ZF);
    const result = zero ^ 1;
    machine.setState64(StateOffset.flagResult, BigInt(result));
    const aux =
        (bit(Flag.CF) << 31) |
        ((bit(Flag.CF) ^ bit(Flag.OF)) << 30) |
        (bit(Flag.AF) << 3) |
        bit(Flag.SF) |
        ((result ^ bit(Flag.PF) ^ 1) << FlagAux.ParityShift);
    machine.setState32(StateOffset.flagAux, aux >>> 0);
}

function flags(machine: X87Machine): number {
    const result = machine.state32(StateOffset.flagResult) | machine.state32(StateOffset.flagResult + 4);
    const negative = machine.state32(StateOffset.flagResult + 4) >>> 31;
    const aux = machine.state32(StateOffset.flagAux);
    let parity = (machine.state32(StateOffset.flagResult) ^ (aux >>> FlagAux.ParityShift)) & 0xff;
    parity ^= parity >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return (
        (aux >>> 31 ? Flag.CF : 0) |
        ((aux ^ (aux << 1)) >>> 31 ? Flag.OF : 0) |
        (aux & FlagAux.AF ? Flag.AF : 0) |
        (negative ^ (aux & 1) ? Flag.SF : 0) |
        (result === 0 ? Flag.ZF : 0) |
        ((parity & 1) === 0 ? Flag.PF : 0)
    );
}

/** An integer that counts normal numbers of the same sign. */
function ordinal(state: Buffer, at: number): bigint {
    const fraction = state.readBigUInt64LE(at) & ((1n << 63n) - 1n);
    return (BigInt(state.readUInt16LE(at + 8)) << 63n) | fraction;
}

/** Takes over from the host what an approximate function may have different: C1, and the last bits of ST(0), ST(1). */
function forgiveApproximation(ours: X87Outcome, host: X87Outcome): void {
    ours.state.writeUInt16LE((ours.state.readUInt16LE(4) & ~C1) | (host.state.readUInt16LE(4) & C1), 4);
    for (const at of [STACK_START, STACK_START + 10]) {
        const difference = ordinal(ours.state, at) - ordinal(host.state, at);
        if (difference >= -1n && difference <= 1n) {
            host.state.copy(ours.state, at, at, at + 10);
        }
    }
}

/** The outcome in words, with addresses made relative. */
function render(outcome: X87Outcome): string {
    const { state, memory, vector, rip, ax } = outcome;
    const word = (at: number): string => (state.readUInt32LE(at) & 0xffff).toString(16).padStart(4, '0');
    const fip = state.readUInt32LE(12);
    const fdp = state.readUInt32LE(20);
    const registers = Array.from({ length: 8 }, (_, i) =>
        Buffer.from(state.subarray(STACK_START + 10 * i, STACK_START + 10 * i + 10))
            .reverse()
            .toString('hex'),
    );
    return [
        `cw ${word(0)} sw ${word(4)} tags ${word(8)}`,
        `fip ${fip === rip ? 'here' : fip.toString(16)} fdp ${fdp === outcome.rsi ? 'memory' : fdp.toString(16)}`,
        // A signal's frame has no room for the selectors.
        vector === 0 ? `fcs ${word(16)} fds ${word(24)}` : '',
        `fop ${state.readUInt16LE(18).toString(16)}`,
        `flags ${(outcome.rflags & ARITHMETIC_FLAGS).toString(16)} ax ${ax.toString(16)} vector ${vector}`,
        `memory ${memory.toString('hex')}`,
        ...registers.map((register, i) => `st${i} ${register}`),
    ].join('\n    ');
}

/** Runs a case on both sides. @returns how they differ, or undefined. */
function compare(machine: X87Machine, input: X87Case, host: X87Outcome, approximate: boolean): string | undefined {
    const ours = runInterpreted(machine, input);
    if (approximate) {
        forgiveApproximation(ours, host);
    }
    if (render(ours) === render(host)) {
        return undefined;
    }
    const before = render({ ...host, ...input, vector: 0 });
    return `before\n    ${before}\nours\n    ${render(ours)}\nhost\n    ${render(host)}`;
}

describe('x87 instructions on the host CPU and in the interpreter tier', function () {
    before(function () {
        needs(this, nativeX86, tool('cc'));
    });

    for (const encoding of encodings()) {
        it(encoding.name, () => {
            const random = new Random(0x1234567 + 77 * encoding.code[0] + 1313 * (encoding.code[1] ?? 0));
            const cases = Array.from({ length: CASES }, () => randomCase(random, encoding));
            const native = runNatively(cases);
            const machine = new X87Machine();
            machine.setSelector(Segment.Cs, FCS, 0);
            const approximate = APPROXIMATE.test(encoding.name);
            const differences: string[] = [];
            cases.forEach((input, i) => {
                if (compare(machine, input, native[i], approximate) !== undefined) {
                    // The host's kernel may have lost the last-instruction pointers in a context switch.
                    const again = compare(machine, input, runNatively([input])[0], approximate);
                    if (again !== undefined) {
                        differences.push(again);
                    }
                }
            });
            const first = differences.slice(0, 2).join('\n');
            assert.equal(differences.length, 0, `${differences.length} of ${CASES} differ:\n${first}`);
        });
    }
});

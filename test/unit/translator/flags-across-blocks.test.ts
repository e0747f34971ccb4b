/** Flags that one block leaves and another reads, or that show in between: regions against the interpreter. */
import assert from 'node:assert/strict';
import {
    RandomNumbers,
    randomStream,
    startStream,
    type Stream,
    type StreamBits,
} from '../../../src/engines/random-streams';
import { type Machine } from '../../../src/machine/machine';
import { GPR_NAMES } from '../../../src/isa/x86';
import { StateOffset } from '../../../src/machine/state';
import { arithmeticFlags } from '../../../src/machine/cpu/flags';
import { translatorEngine } from '../../../src/translator';
import { rom, romMachine } from '../../support/rom-machine';

const ROUNDS = 300;
const DATA = 0x400000;
/** EAX, EDX, EBX, ESI: SP, BP and CX have their own use, and byte registers are AL, DL, BL and, in place of ESI, DH. */
const REGISTERS = [0, 2, 3, 6];

class LoopWriter {
    private readonly code: number[] = [];

    constructor(
        private readonly random: RandomNumbers,
        private readonly bits: StreamBits,
    ) {}

    private emit(...bytes: number[]): void {
        this.code.push(...bytes);
    }

    /** An instruction with a register as r/m, of any width. `byteOpcode` is that for bytes; the next one is for the others. */
    private ofAnyWidth(byteOpcode: number, reg: number, ...immediate: number[]): void {
        const widths = this.bits === 64 ? 4 : 3;
        const width = this.random.below(widths);
        const rm = REGISTERS[this.random.below(REGISTERS.length)];
        if (width > 0 && width < 3 && (width === 1) !== (this.bits === 16)) this.emit(0x66);
        if (width === 3) this.emit(0x48);
        this.emit(byteOpcode + (width > 0 ? 1 : 0), 0xc0 | (reg << 3) | rm, ...immediate);
    }

    private changeFlags(): void {
        const register = REGISTERS[this.random.below(REGISTERS.length)];
        switch (this.random.below(6)) {
            case 0:
                return this.ofAnyWidth(0xfe, this.random.below(2)); // INC, DEC
            case 1:
                return this.ofAnyWidth(0xf6, 3); // NEG
            case 2:
                return this.ofAnyWidth(0xc0, this.random.below(8), this.random.below(70)); // rotates and shifts
            default:
                return this.ofAnyWidth(8 * this.random.below(8), register); // ADD, OR, ADC, SBB, AND, SUB, XOR, CMP
        }
    }

    private readFlags(): void {
        switch (this.random.below(4)) {
            case 0:
                return this.emit(0x0f, 0x90 | this.random.below(16), 0xc0); // SETcc AL
            case 1:
                return this.ofAnyWidth(0x10, 3); // ADC with EBX
            case 2:
                return this.emit(0x9c, 0x5a); // PUSHF, POP DX
            default:
                return this.emit(0x72 + this.random.below(8), 2, 0x30, 0xc3); // Jcc over XOR BL, AL
        }
    }

    /** A loop of so many blocks. @returns its code */
    write(blocks: number): Uint8Array {
        for (let block = 0; block < blocks; block++) {
            this.changeFlags();
            if (this.random.below(2) === 0) this.emit(0x70 | this.random.below(16), 0);
            else this.emit(0xeb, 0); // to the next block, either way
            // A load over a page's end, which regions leave to the interpreter.
            if (this.random.below(3) === 0) this.emit(0x8b, this.bits === 16 ? 0x7e : 0x7d, 0);
            if (this.random.below(2) === 0) this.readFlags();
        }
        const size = this.code.length;
        assert.ok(size < 0x7000);
        // DEC CX, JNZ: flags of the end are there at the beginning.
        const back = -(size + (this.bits === 16 ? 6 : 9));
        if (this.bits !== 16) this.emit(0x66);
        this.emit(0xff, 0xc9, 0x0f, 0x85);
        if (this.bits === 16) this.emit(back & 0xff, (back >> 8) & 0xff);
        else this.emit(back & 0xff, (back >> 8) & 0xff, (back >> 16) & 0xff, (back >> 24) & 0xff);
        this.emit(0xf4);
        return Uint8Array.from(this.code);
    }
}

function machine(options: object): Machine {
    const engine = translatorEngine({ now: () => performance.now(), ...options });
    return romMachine(rom('f4'), { memory: 8 << 20, engine });
}

function outcome(on: Machine, stream: Stream): string[] {
    startStream(on, stream);
    on.run({ instructions: 10_000_000, idleSkips: 0 });
    const { cpu } = on.processors[0];
    const registers = GPR_NAMES[8].map(
        (name, index) => `${name} ${cpu.get64(StateOffset.gpr + 8 * index).toString(16)}`,
    );
    return [...registers, `flags ${arithmeticFlags(cpu).toString(16)}`, `retired ${on.engine.retired()}`];
}

describe('flags across blocks', function () {
    this.timeout(30_000);

    for (const bits of [64, 32, 16] as const) {
        it(`are those of the interpreter in ${bits}-bit code`, () => {
            let regions = 0;
            for (let seed = 1; seed <= 12; seed++) {
                const random = new RandomNumbers(seed * 977 + bits);
                const code = new LoopWriter(random, bits).write(8 + random.below(16));
                const registers = Array.from({ length: 16 }, () => BigInt(random.next()) << BigInt(random.below(32)));
                const base = bits === 16 ? 0 : DATA;
                registers[1] = BigInt(ROUNDS);
                registers[4] = BigInt(base + 0x8000);
                registers[5] = BigInt(base + 0xfff);
                const stream = { ...randomStream(random, 0, { bits }), code, registers };
                const translated = machine({ hotThreshold: 3 });
                assert.deepEqual(
                    outcome(translated, stream),
                    outcome(machine({ translate: false }), stream),
                    `seed ${seed}`,
                );
                regions += (translated.engine.statistics() as { regions: number }).regions;
            }
            assert.ok(regions > 0);
        });
    }
});

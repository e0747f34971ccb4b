/** The text of a function body, in the linear form of the text format: one instruction a line, blocks indented. */
import { MEMORY_NAMES, PLAIN_NAMES, SATURATING_NAMES, VECTOR_NAMES } from './opcode-names';

export interface PrintOptions {
    /** What locals are called; without a name, their number. */
    readonly locals?: ReadonlyMap<number, string>;
    readonly functions?: ReadonlyMap<number, string>;
}

export interface PrintedFunction {
    readonly lines: readonly string[];
    /** By line, where its instruction begins in the body. Lines that declare locals have the place of the first one. */
    readonly offsets: readonly number[];
}

const TYPES: Readonly<Record<number, string>> = {
    0x7f: 'i32',
    0x7e: 'i64',
    0x7d: 'f32',
    0x7c: 'f64',
    0x7b: 'v128',
    0x70: 'funcref',
    0x6f: 'externref',
};
const EMPTY = 0x40;

class Reader {
    at = 0;

    constructor(private readonly bytes: Uint8Array) {}

    get ended(): boolean {
        return this.at >= this.bytes.length;
    }

    byte(): number {
        if (this.ended) throw new RangeError('the body ends in the middle of an instruction');
        return this.bytes[this.at++];
    }

    u32(): number {
        let value = 0;
        for (let shift = 0; shift < 35; shift += 7) {
            const byte = this.byte();
            value += (byte & 0x7f) * 2 ** shift;
            if (byte < 0x80) return value;
        }
        throw new RangeError('a number has too many digits');
    }

    signed(): bigint {
        let value = 0n;
        for (let shift = 0n; shift < 70n; shift += 7n) {
            const byte = this.byte();
            value |= BigInt(byte & 0x7f) << shift;
            if (byte < 0x80) return BigInt.asIntN(Number(shift) + 7, value);
        }
        throw new RangeError('a number has too many digits');
    }

    view(length: number): DataView {
        if (this.at + length > this.bytes.length) throw new RangeError('the body ends in the middle of a constant');
        const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at, length);
        this.at += length;
        return view;
    }
}

class Printer {
    readonly lines: string[] = [];
    readonly offsets: number[] = [];
    private readonly reader: Reader;
    private depth = 0;

    constructor(
        body: Uint8Array,
        private readonly options: PrintOptions,
    ) {
        this.reader = new Reader(body);
    }

    print(): PrintedFunction {
        try {
            this.locals();
            while (!this.reader.ended) {
                this.instruction();
            }
        } catch (error) {
            if (!(error instanceof RangeError)) throw error;
            this.line(this.reader.at, `;; ${error.message}`);
        }
        return { lines: this.lines, offsets: this.offsets };
    }

    private line(at: number, text: string): void {
        this.lines.push('  '.repeat(this.depth) + text);
        this.offsets.push(at);
    }

    private locals(): void {
        const { reader } = this;
        const groups = reader.u32();
        const types: string[] = [];
        for (let group = 0; group < groups; group++) {
            const count = reader.u32();
            const type = TYPES[reader.byte()] ?? '?';
            types.push(count === 1 ? type : `${type} × ${count}`);
        }
        if (types.length > 0) {
            this.line(reader.at, `;; locals: ${types.join(', ')}`);
        }
    }

    private instruction(): void {
        const { reader } = this;
        const at = reader.at;
        const opcode = reader.byte();
        switch (opcode) {
            case 0x02:
            case 0x03:
            case 0x04:
                this.line(at, `${['block', 'loop', 'if'][opcode - 2]}${this.blockType()}`);
                this.depth++;
                return;
            case 0x05:
                this.depth = Math.max(0, this.depth - 1);
                this.line(at, 'else');
                this.depth++;
                return;
            case 0x0b:
                this.depth = Math.max(0, this.depth - 1);
                if (!reader.ended) this.line(at, 'end');
                return;
            default:
                this.line(at, this.text(opcode));
        }
    }

    private blockType(): string {
        const type = this.reader.byte();
        return type === EMPTY ? '' : ` (result ${TYPES[type] ?? `type ${type}`})`;
    }

    private text(opcode: number): string {
        const { reader } = this;
        const plain = PLAIN_NAMES.get(opcode);
        if (plain !== undefined) {
            return plain;
        }
        const memory = MEMORY_NAMES.get(opcode);
        if (memory !== undefined) {
            return memory + this.memoryArgument();
        }
        switch (opcode) {
            case 0x0c:
                return `br ${reader.u32()}`;
            case 0x0d:
                return `br_if ${reader.u32()}`;
            case 0x0e: {
                const targets = Array.from({ length: Math.min(reader.u32(), 0x10000) + 1 }, () => reader.u32());
                return `br_table ${targets.join(' ')}`;
            }
            case 0x10:
                return `call ${this.functionName(reader.u32())}`;
            case 0x11:
                return `call_indirect (type ${reader.u32()})${this.tableName()}`;
            case 0x12:
                return `return_call ${this.functionName(reader.u32())}`;
            case 0x13:
                return `return_call_indirect (type ${reader.u32()})${this.tableName()}`;
            case 0x1c:
                return `select${Array.from({ length: reader.u32() }, () => ` ${TYPES[reader.byte()] ?? '?'}`).join('')}`;
            case 0x20:
                return `local.get ${this.localName(reader.u32())}`;
            case 0x21:
                return `local.set ${this.localName(reader.u32())}`;
            case 0x22:
                return `local.tee ${this.localName(reader.u32())}`;
            case 0x23:
                return `global.get ${reader.u32()}`;
            case 0x24:
                return `global.set ${reader.u32()}`;
            case 0x3f:
            case 0x40:
                reader.byte();
                return opcode === 0x3f ? 'memory.size' : 'memory.grow';
            case 0x41:
                return `i32.const ${constant(reader.signed())}`;
            case 0x42:
                return `i64.const ${constant(reader.signed())}`;
            case 0x43:
                return `f32.const ${reader.view(4).getFloat32(0, true)}`;
            case 0x44:
                return `f64.const ${reader.view(8).getFloat64(0, true)}`;
            case 0xfc:
                return this.bulk(reader.u32());
            case 0xfd:
                return this.vector(reader.u32());
            default:
                throw new RangeError(`opcode 0x${opcode.toString(16)} is not known`);
        }
    }

    private bulk(opcode: number): string {
        const name = SATURATING_NAMES.get(opcode);
        if (name !== undefined) {
            return name;
        }
        if (opcode === 10 || opcode === 11) {
            this.reader.byte();
            if (opcode === 10) this.reader.byte();
            return opcode === 10 ? 'memory.copy' : 'memory.fill';
        }
        throw new RangeError(`opcode 0xfc ${opcode} is not known`);
    }

    private vector(opcode: number): string {
        const name = VECTOR_NAMES.get(opcode);
        if (name === undefined) {
            throw new RangeError(`opcode 0xfd ${opcode} is not known`);
        }
        if (opcode <= 11 || opcode === 92 || opcode === 93) {
            return name + this.memoryArgument();
        }
        if (opcode === 12) {
            const view = this.reader.view(16);
            const lanes = [0, 4, 8, 12].map(
                offset => `0x${view.getUint32(offset, true).toString(16).padStart(8, '0')}`,
            );
            return `${name} i32x4 ${lanes.join(' ')}`;
        }
        if (opcode === 13) {
            return `${name} ${Array.from({ length: 16 }, () => this.reader.byte()).join(' ')}`;
        }
        if (opcode >= 21 && opcode <= 34) {
            return `${name} ${this.reader.byte()}`;
        }
        if (opcode >= 84 && opcode <= 91) {
            return `${name}${this.memoryArgument()} ${this.reader.byte()}`;
        }
        return name;
    }

    private memoryArgument(): string {
        this.reader.u32();
        const offset = this.reader.u32();
        return offset === 0 ? '' : ` offset=0x${offset.toString(16)}`;
    }

    private tableName(): string {
        const table = this.reader.u32();
        return table === 0 ? '' : ` table ${table}`;
    }

    private localName(local: number): string {
        const name = this.options.locals?.get(local);
        return name === undefined ? `${local}` : `$${name}`;
    }

    private functionName(index: number): string {
        const name = this.options.functions?.get(index);
        return name === undefined ? `${index}` : `$${name}`;
    }
}

/** Small numbers in decimal, others, which are addresses and masks, in hexadecimal. */
function constant(value: bigint): string {
    const magnitude = value < 0n ? -value : value;
    return magnitude < 1024n ? `${value}` : `${value < 0n ? '-' : ''}0x${magnitude.toString(16)}`;
}

/**
 * Prints a function body: its local declarations and code, without the size in front. Never throws: where it cannot
 * read on, the last line says why.
 */
export function printFunction(body: Uint8Array, options: PrintOptions = {}): PrintedFunction {
    return new Printer(body, options).print();
}

/** Encodes a WebAssembly module (binary format, section 5.5): types, imports, functions, exports and code. */
import { ByteWriter } from './bytes';

/** Opcodes that emitters name; those that IR operations become are in the IR's table. */
export const enum Wasm {
    Unreachable = 0x00,
    Block = 0x02,
    Loop = 0x03,
    If = 0x04,
    Else = 0x05,
    End = 0x0b,
    Br = 0x0c,
    BrIf = 0x0d,
    BrTable = 0x0e,
    Return = 0x0f,
    Call = 0x10,
    CallIndirect = 0x11,
    ReturnCall = 0x12,
    ReturnCallIndirect = 0x13,
    Drop = 0x1a,
    Select = 0x1b,
    SelectTyped = 0x1c,
    LocalGet = 0x20,
    LocalSet = 0x21,
    LocalTee = 0x22,
    I32Load = 0x28,
    I64Load = 0x29,
    F32Load = 0x2a,
    F64Load = 0x2b,
    I32Load8U = 0x2d,
    I32Load16U = 0x2f,
    I64Load8U = 0x31,
    I64Load16U = 0x33,
    I64Load32S = 0x34,
    I64Load32U = 0x35,
    I32Store = 0x36,
    I64Store = 0x37,
    F32Store = 0x38,
    F64Store = 0x39,
    I32Store8 = 0x3a,
    I32Store16 = 0x3b,
    I64Store8 = 0x3c,
    I64Store16 = 0x3d,
    I64Store32 = 0x3e,
    I32Const = 0x41,
    I64Const = 0x42,
    I32Eqz = 0x45,
    I32Eq = 0x46,
    I32Ne = 0x47,
    I32GtU = 0x4b,
    I32LeU = 0x4d,
    I64Eqz = 0x50,
    I64Eq = 0x51,
    I64Ne = 0x52,
    I64LtS = 0x53,
    I64LtU = 0x54,
    I64GeU = 0x5a,
    I32Add = 0x6a,
    I32Sub = 0x6b,
    I32Mul = 0x6c,
    I32And = 0x71,
    I32Or = 0x72,
    I32Xor = 0x73,
    I32Shl = 0x74,
    I32ShrU = 0x76,
    I64Add = 0x7c,
    I64Sub = 0x7d,
    I64And = 0x83,
    I64Or = 0x84,
    I64Xor = 0x85,
    I64Shl = 0x86,
    I64ShrS = 0x87,
    I64ShrU = 0x88,
    I32WrapI64 = 0xa7,
    I64ExtendI32U = 0xad,
    /** Prefix of memory.copy/fill and saturating truncation. */
    PrefixFc = 0xfc,
    /** Prefix of SIMD. */
    PrefixFd = 0xfd,
    // With the prefix as the upper byte, as `Emitter.opcode` takes them.
    V128Load = 0xfd00,
    V128Store = 0xfd0b,
    V128Const = 0xfd0c,
    I8x16Shuffle = 0xfd0d,
}

interface Signature {
    readonly parameters: readonly number[];
    readonly results: readonly number[];
}

/** A module under construction. Function indices count imports first, as WebAssembly does. */
export class WasmModule {
    private readonly types: Signature[] = [];
    private readonly typeKeys = new Map<string, number>();
    private readonly importBytes = new ByteWriter();
    private importCount = 0;
    private importedFunctions = 0;
    private readonly functionTypes: number[] = [];
    private readonly bodies: Uint8Array[] = [];
    private readonly exports: { name: string; index: number }[] = [];

    /** Index of a function type; parameters and results are value type bytes. */
    type(parameters: readonly number[], results: readonly number[]): number {
        const key = `${parameters.join()}>${results.join()}`;
        let index = this.typeKeys.get(key);
        if (index === undefined) {
            index = this.types.push({ parameters, results }) - 1;
            this.typeKeys.set(key, index);
        }
        return index;
    }

    importMemory(module: string, name: string, minimumPages: number, maximumPages: number): void {
        this.importHead(module, name);
        this.importBytes.byte(0x02);
        this.importBytes.byte(0x03); // shared, with a maximum
        this.importBytes.u32(minimumPages);
        this.importBytes.u32(maximumPages);
    }

    importTable(module: string, name: string, minimum: number): void {
        this.importHead(module, name);
        this.importBytes.byte(0x01);
        this.importBytes.byte(0x70);
        this.importBytes.byte(0x00);
        this.importBytes.u32(minimum);
    }

    /** Imports a function; all imports precede the first {@link addFunction}. */
    importFunction(module: string, name: string, type: number): number {
        this.importHead(module, name);
        this.importBytes.byte(0x00);
        this.importBytes.u32(type);
        return this.importedFunctions++;
    }

    /** Adds a function; `body` is locals and code without the size. Returns its index. */
    addFunction(type: number, body: Uint8Array, exportName?: string): number {
        const index = this.importedFunctions + this.functionTypes.length;
        this.functionTypes.push(type);
        this.bodies.push(body);
        if (exportName !== undefined) {
            this.exports.push({ name: exportName, index });
        }
        return index;
    }

    encode(): Uint8Array<ArrayBuffer> {
        const out = new ByteWriter();
        out.append(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00));
        this.section(out, 1, section => {
            section.u32(this.types.length);
            for (const { parameters, results } of this.types) {
                section.byte(0x60);
                section.u32(parameters.length);
                parameters.forEach(type => section.byte(type));
                section.u32(results.length);
                results.forEach(type => section.byte(type));
            }
        });
        this.section(out, 2, section => {
            section.u32(this.importCount);
            section.append(this.importBytes.bytes, this.importBytes.length);
        });
        this.section(out, 3, section => {
            section.u32(this.functionTypes.length);
            this.functionTypes.forEach(type => section.u32(type));
        });
        this.section(out, 7, section => {
            section.u32(this.exports.length);
            for (const { name, index } of this.exports) {
                section.name(name);
                section.byte(0x00);
                section.u32(index);
            }
        });
        this.section(out, 10, section => {
            section.u32(this.bodies.length);
            for (const body of this.bodies) {
                section.u32(body.length);
                section.append(body);
            }
        });
        return out.finish();
    }

    private importHead(module: string, name: string): void {
        this.importCount++;
        this.importBytes.name(module);
        this.importBytes.name(name);
    }

    private section(out: ByteWriter, id: number, write: (section: ByteWriter) => void): void {
        const section = new ByteWriter();
        write(section);
        out.byte(id);
        out.sized(section);
    }
}

/** The records that the oracle (test/differential/native/instruction-oracle.c) and the emulated machine exchange. */

import { deflateRawSync, inflateRawSync } from 'node:zlib';

/** Where everything lies, in the host process and in the emulated address space. */
export const CODE_PAGE = 0x10000000;
/** Offset of the first instruction in the code page, which is INT3 everywhere else. */
export const ENTRY_OFFSET = 0x800;
export const DATA = 0x20000000;
export const DATA_SIZE = 0x2000;
/** Base of GS in 64-bit code; elsewhere GS is a null selector. */
export const GS_BASE = DATA + 0x1000;

/** Parts of the data pages that a case sets and gets; the rest is zero before, and summed up after. */
export const WINDOWS: ReadonlyArray<{ readonly offset: number; readonly size: number }> = [
    { offset: 0, size: 64 },
    { offset: 0x1000 - 256, size: 512 },
    { offset: DATA_SIZE - 64, size: 64 },
];
export const WINDOW_BYTES = WINDOWS.reduce((sum, window) => sum + window.size, 0);

/** Code segments that a case can run in. */
export const enum CodeKind {
    Code64,
    /** Flat 32-bit compatibility mode. */
    Code32,
    /** The same with DS, ES and SS that cover just the data pages. */
    Code32Segmented,
    /** 16-bit compatibility mode: CS covers 64 KiB from the code page; DS, ES and SS just the data pages. */
    Code16,
}

export const CODE_SIZES = [64, 32, 32, 16] as const;

/** Offsets in a case. */
export const enum CaseOffset {
    code = 0,
    codeLength = 32,
    kind = 36,
    gpr = 40,
    rflags = 168,
    fxsave = 176,
    data = 688,
    size = 1328,
}

/** Offsets in a result. */
export const enum ResultOffset {
    /** Vector + 1 of what ended the case (4 for its INT3), or {@link TIMEOUT}. */
    fault = 0,
    errorCode = 4,
    /** Of the faulting instruction, or after the INT3. */
    rip = 8,
    gpr = 16,
    rflags = 144,
    cr2 = 152,
    fxsave = 160,
    data = 672,
    /** Sum of the 32-bit words of the data pages outside of the windows. */
    rest = 1312,
    size = 1320,
}

export const TIMEOUT = 0x100;
export const MAX_CODE_BYTES = 32;

/** Offsets in the FXSAVE image (SDM Vol. 1, table 10-2). */
export const enum FxsaveOffset {
    fcw = 0,
    fsw = 2,
    ftw = 4,
    fop = 6,
    fip = 8,
    fdp = 16,
    mxcsr = 24,
    st = 32,
    xmm = 160,
}

/** A case in the oracle's layout. */
export class InstructionCase {
    readonly bytes: Uint8Array;
    readonly view: DataView;

    constructor(bytes: Uint8Array = new Uint8Array(CaseOffset.size)) {
        this.bytes = bytes;
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }

    get kind(): CodeKind {
        return this.view.getUint32(CaseOffset.kind, true);
    }

    set kind(kind: CodeKind) {
        this.view.setUint32(CaseOffset.kind, kind, true);
    }

    get codeLength(): number {
        return this.view.getUint32(CaseOffset.codeLength, true);
    }

    set codeLength(length: number) {
        this.view.setUint32(CaseOffset.codeLength, length, true);
    }

    get code(): Uint8Array {
        return this.bytes.subarray(CaseOffset.code, CaseOffset.code + this.codeLength);
    }

    gpr(register: number): bigint {
        return this.view.getBigUint64(CaseOffset.gpr + 8 * register, true);
    }

    setGpr(register: number, value: bigint): void {
        this.view.setBigUint64(CaseOffset.gpr + 8 * register, BigInt.asUintN(64, value), true);
    }

    /** RIP of the first instruction: an offset in its code segment. */
    get entry(): number {
        return (this.kind === CodeKind.Code16 ? 0 : CODE_PAGE) + ENTRY_OFFSET;
    }

    /** A text from which {@link replayed} makes the same case. */
    toReplay(): string {
        return deflateRawSync(this.bytes, { level: 9 }).toString('base64');
    }

    static replayed(text: string): InstructionCase {
        return new InstructionCase(new Uint8Array(inflateRawSync(Buffer.from(text, 'base64'))));
    }
}

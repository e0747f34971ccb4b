/**
 * The first part of an instruction: legacy prefixes, REX, VEX and the opcode with its escape bytes (SDM Vol. 2, 2.1–2.3).
 */

import { NO_REGISTER, RepeatPrefix, Segment } from './instruction';
import { MandatoryPrefix, OpcodeMap } from './table/opcode';

const enum PrefixKind {
    None,
    Segment,
    OperandSize,
    AddressSize,
    Lock,
    Repeat,
    Rex,
}

const PREFIX_KINDS = new Uint8Array(256);
PREFIX_KINDS.set([PrefixKind.OperandSize, PrefixKind.AddressSize], 0x66);
PREFIX_KINDS[0xf0] = PrefixKind.Lock;
PREFIX_KINDS.set([PrefixKind.Repeat, PrefixKind.Repeat], 0xf2);
PREFIX_KINDS.fill(PrefixKind.Rex, 0x40, 0x50);
for (const prefix of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) {
    PREFIX_KINDS[prefix] = PrefixKind.Segment;
}

const VEX_PP = [MandatoryPrefix.None, MandatoryPrefix.P66, MandatoryPrefix.F3, MandatoryPrefix.F2] as const;

/** What {@link scanOpcode} found; one object serves all calls, and is valid until the next. */
export class ScannedOpcode {
    public map = OpcodeMap.OneByte;
    public opcode = 0;
    /** Position after the opcode. */
    public position = 0;
    public mandatoryPrefix = MandatoryPrefix.None;
    public operandSizePrefix = false;
    public addressSizePrefix = false;
    public lock = false;
    public repeat = RepeatPrefix.None;
    public segmentOverride = NO_REGISTER;
    /** The REX byte, or one made of VEX's R, X, B and W; 0 without either. */
    public rex = 0;
    public vex = false;
    public vexL = 0;
    /** VEX.vvvv as a register number. */
    public vvvv = 0;
}

/** How {@link scanOpcode} ended. */
export const enum ScanResult {
    Found,
    /** The limit comes before an opcode. */
    Short,
    Undefined,
}

/**
 * Scans from `position` into `found`. Prefixes stop at `limit`; the bytes after the last prefix are read regardless, so
 * that the caller has to compare `found.position` with its limit.
 */
export function scanOpcode(
    found: ScannedOpcode,
    bytes: Uint8Array,
    position: number,
    limit: number,
    mode64: boolean,
): ScanResult {
    found.operandSizePrefix = false;
    found.addressSizePrefix = false;
    found.lock = false;
    found.repeat = RepeatPrefix.None;
    found.segmentOverride = NO_REGISTER;
    found.rex = 0;
    found.vex = false;
    found.vexL = 0;
    found.vvvv = 0;
    for (;;) {
        if (position >= limit) {
            return ScanResult.Short;
        }
        const byte = bytes[position++];
        const kind = PREFIX_KINDS[byte];
        if (kind === PrefixKind.None || (kind === PrefixKind.Rex && !mode64)) {
            found.mandatoryPrefix = mandatoryPrefix(found);
            return scanEscapes(found, bytes, position, byte, mode64);
        }
        // A REX prefix counts only directly before the opcode.
        found.rex = kind === PrefixKind.Rex ? byte : 0;
        switch (kind) {
            case PrefixKind.Segment:
                found.segmentOverride = segmentOfPrefix(byte, mode64, found.segmentOverride);
                break;
            case PrefixKind.OperandSize:
                found.operandSizePrefix = true;
                break;
            case PrefixKind.AddressSize:
                found.addressSizePrefix = true;
                break;
            case PrefixKind.Lock:
                found.lock = true;
                break;
            case PrefixKind.Repeat:
                found.repeat = byte === 0xf3 ? RepeatPrefix.Repe : RepeatPrefix.Repne;
                break;
        }
    }
}

/** The last of F2 and F3 counts, and either before 66. */
function mandatoryPrefix(found: ScannedOpcode): MandatoryPrefix {
    if (found.repeat !== RepeatPrefix.None) {
        return found.repeat === RepeatPrefix.Repe ? MandatoryPrefix.F3 : MandatoryPrefix.F2;
    }
    return found.operandSizePrefix ? MandatoryPrefix.P66 : MandatoryPrefix.None;
}

/** In 64-bit mode ES, CS, SS and DS overrides are null prefixes: they do not even cancel an FS or GS before them. */
function segmentOfPrefix(prefix: number, mode64: boolean, previous: number): number {
    switch (prefix) {
        case 0x64:
            return Segment.Fs;
        case 0x65:
            return Segment.Gs;
        default:
            return mode64 ? previous : (prefix >> 3) & 3;
    }
}

function scanEscapes(
    found: ScannedOpcode,
    bytes: Uint8Array,
    position: number,
    first: number,
    mode64: boolean,
): ScanResult {
    found.map = OpcodeMap.OneByte;
    found.opcode = first;
    if (first === 0x0f) {
        found.map = OpcodeMap.TwoByte;
        found.opcode = bytes[position++];
        if (found.opcode === 0x38 || found.opcode === 0x3a) {
            found.map = found.opcode === 0x38 ? OpcodeMap.ThreeByte38 : OpcodeMap.ThreeByte3A;
            found.opcode = bytes[position++];
        }
    } else if ((first === 0xc4 || first === 0xc5) && (mode64 || bytes[position] >= 0xc0)) {
        // Outside 64-bit mode these are LES and LDS, whose ModRM.mod cannot be 3.
        return scanVex(found, bytes, position, first, mode64);
    }
    found.position = position;
    return ScanResult.Found;
}

/** SDM Vol. 2, 2.3.5. A VEX prefix takes the place of REX, 66, F2 and F3, and allows no LOCK. */
function scanVex(
    found: ScannedOpcode,
    bytes: Uint8Array,
    position: number,
    first: number,
    mode64: boolean,
): ScanResult {
    const payload = bytes[position++];
    let last = payload;
    let inverted = payload & 0x80;
    found.map = OpcodeMap.Vex0F;
    if (first === 0xc4) {
        last = bytes[position++];
        inverted = payload & 0xe0;
        found.map = OpcodeMap.Vex0F + (payload & 0x1f) - 1;
    } else {
        inverted |= 0x60;
    }
    found.opcode = bytes[position++];
    found.position = position;
    const forbidden = found.rex !== 0 || found.lock || found.mandatoryPrefix !== MandatoryPrefix.None;
    if (forbidden || found.map < OpcodeMap.Vex0F || found.map > OpcodeMap.Vex0F3A) {
        return ScanResult.Undefined;
    }
    const w = first === 0xc4 ? (last >> 4) & 8 : 0;
    found.vex = true;
    // Outside 64-bit mode W and B are ignored, and R and X are 1, that is no extension.
    found.rex = mode64 ? 0x40 | w | ((~inverted >> 5) & 7) : 0x40;
    found.mandatoryPrefix = VEX_PP[last & 3];
    found.vexL = (last >> 2) & 1;
    found.vvvv = (~last >> 3) & 0xf;
    return ScanResult.Found;
}

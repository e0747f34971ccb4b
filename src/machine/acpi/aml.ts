/**
 * A small encoder for ACPI Machine Language (ACPI 6.5, chapter 20). Every function returns the bytes of one term;
 * names are written as in ASL, without the padding.
 */

/** Encoded AML. */
export type Aml = Uint8Array;

const enum Op {
    Name = 0x08,
    BytePrefix = 0x0a,
    WordPrefix = 0x0b,
    DWordPrefix = 0x0c,
    StringPrefix = 0x0d,
    QWordPrefix = 0x0e,
    Scope = 0x10,
    Buffer = 0x11,
    Package = 0x12,
    Method = 0x14,
    DualName = 0x2e,
    MultiName = 0x2f,
    Extended = 0x5b,
    Arg0 = 0x68,
    Store = 0x70,
    And = 0x7b,
    Or = 0x7d,
    CreateDWordField = 0x8a,
    If = 0xa0,
    Return = 0xa4,
}

const enum ExtendedOp {
    OperationRegion = 0x80,
    Field = 0x81,
    Device = 0x82,
}

/** Address spaces of operation regions that we use (section 19.6.100). */
export const enum RegionSpace {
    PciConfig = 2,
}

export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
    const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
    }
    return bytes;
}

/** Little-endian bytes of a number below 2^53. */
export function littleEndian(value: number, size: number): number[] {
    return Array.from({ length: size }, (_, index) => Math.floor(value / 2 ** (8 * index)) % 256);
}

/** A NameString: `\_SB.PCI0`, `^LNKA`, `_HID` (section 20.2.2). */
export function path(text: string): Aml {
    const [, prefix, rest] = /^([\\^]*)(.*)$/.exec(text) ?? [];
    const segments = rest === '' ? [] : rest.split('.');
    const bytes = [...prefix].map(character => character.charCodeAt(0));
    if (segments.length === 0) {
        bytes.push(0);
    } else if (segments.length === 2) {
        bytes.push(Op.DualName);
    } else if (segments.length > 2) {
        bytes.push(Op.MultiName, segments.length);
    }
    for (const segment of segments) {
        bytes.push(...[...segment.padEnd(4, '_')].map(character => character.charCodeAt(0)));
    }
    return Uint8Array.from(bytes);
}

export function integer(value: number): Aml {
    if (value === 0 || value === 1) {
        return Uint8Array.of(value);
    }
    const [prefix, size] =
        value < 0x100
            ? [Op.BytePrefix, 1]
            : value < 0x10000
              ? [Op.WordPrefix, 2]
              : value < 0x1_0000_0000
                ? [Op.DWordPrefix, 4]
                : [Op.QWordPrefix, 8];
    return Uint8Array.of(prefix, ...littleEndian(value, size));
}

export function string(text: string): Aml {
    return concat([Op.StringPrefix], new TextEncoder().encode(text), [0]);
}

/** A compressed EISA identifier, e.g. `PNP0A03` (section 19.3.4, EISAID). */
export function eisaId(text: string): Aml {
    const letters = [0, 1, 2].map(index => text.charCodeAt(index) - 0x40);
    const vendor = (letters[0] << 10) | (letters[1] << 5) | letters[2];
    const product = parseInt(text.slice(3), 16);
    return Uint8Array.of(Op.DWordPrefix, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff);
}

/** PkgLength counts itself (section 20.2.4). */
function packageLength(content: number): number[] {
    for (const [bytes, limit] of [
        [1, 0x40],
        [2, 0x1000],
        [3, 0x100000],
        [4, 0x10000000],
    ] as const) {
        const length = content + bytes;
        if (length < limit) {
            return bytes === 1
                ? [length]
                : [((bytes - 1) << 6) | (length & 0xf), ...littleEndian(Math.floor(length / 16), bytes - 1)];
        }
    }
    throw new RangeError(`AML package of ${content} bytes`);
}

function sized(opcode: readonly number[], ...content: readonly Uint8Array[]): Aml {
    const body = concat(...content);
    return concat(opcode, packageLength(body.length), body);
}

export function scope(name: string, ...terms: readonly Aml[]): Aml {
    return sized([Op.Scope], path(name), ...terms);
}

export function device(name: string, ...terms: readonly Aml[]): Aml {
    return sized([Op.Extended, ExtendedOp.Device], path(name), ...terms);
}

export function name(text: string, value: Aml): Aml {
    return concat([Op.Name], path(text), value);
}

export function method(text: string, argumentCount: number, ...terms: readonly Aml[]): Aml {
    // Serialized: some of ours create named objects, which must not happen twice at a time.
    return sized([Op.Method], path(text), Uint8Array.of(argumentCount | 8), ...terms);
}

export function pack(...elements: readonly Aml[]): Aml {
    return sized([Op.Package], Uint8Array.of(elements.length), ...elements);
}

export function buffer(bytes: Uint8Array): Aml {
    return sized([Op.Buffer], integer(bytes.length), bytes);
}

export function operationRegion(text: string, space: RegionSpace, offset: number, length: number): Aml {
    return concat([Op.Extended, ExtendedOp.OperationRegion], path(text), [space], integer(offset), integer(length));
}

/** A field list of byte-wide, byte-accessed fields one after the other, the rest preserved. */
export function byteFields(region: string, ...fields: readonly string[]): Aml {
    const BYTE_ACCESS = 1;
    return sized(
        [Op.Extended, ExtendedOp.Field],
        path(region),
        Uint8Array.of(BYTE_ACCESS),
        ...fields.map(field => concat(path(field), [8])),
    );
}

export function arg(index: number): Aml {
    return Uint8Array.of(Op.Arg0 + index);
}

export function store(value: Aml, target: Aml): Aml {
    return concat([Op.Store], value, target);
}

export function and(a: Aml, b: Aml): Aml {
    return concat([Op.And], a, b, [0]);
}

/** `target = a | b`. */
export function orInto(a: Aml, b: Aml, target: Aml): Aml {
    return concat([Op.Or], a, b, target);
}

export function ifTrue(condition: Aml, ...terms: readonly Aml[]): Aml {
    return sized([Op.If], condition, ...terms);
}

export function returns(value: Aml): Aml {
    return concat([Op.Return], value);
}

export function createDWordField(source: Aml, byteIndex: number, text: string): Aml {
    return concat([Op.CreateDWordField], source, integer(byteIndex), path(text));
}

/** Calls a method; its argument count must match the declaration. */
export function call(text: string, ...values: readonly Aml[]): Aml {
    return concat(path(text), ...values);
}

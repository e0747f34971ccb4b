/** Writes BTF as Documentation/bpf/btf.rst has it. */

/** A type: what `struct btf_type` says, and the words behind it. */
export interface BuiltType {
    readonly kind: number;
    readonly name?: string;
    readonly flag?: boolean;
    /** Size, or id of a type. */
    readonly value?: number;
    /** Numbers stay, names become offsets of strings. */
    readonly extra?: readonly (number | string)[];
    /** Members; else told by `extra` as the kind has them. */
    readonly count?: number;
}

const WORDS_A_MEMBER: Readonly<Record<number, number>> = { 4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3 };

/** @param base bytes of the strings that a module's come behind */
export function buildBtf(types: readonly BuiltType[], base = 0): Uint8Array {
    const strings: string[] = base === 0 ? [''] : [];
    const offsets = new Map<string, number>(base === 0 ? [['', 0]] : []);
    let next = base === 0 ? 1 : 0;
    const offsetOf = (text: string): number => {
        if (text === '') return 0;
        let offset = offsets.get(text);
        if (offset === undefined) {
            offset = base + next;
            next += text.length + 1;
            offsets.set(text, offset);
            strings.push(text);
        }
        return offset;
    };
    const words: number[] = [];
    for (const { kind, name = '', flag = false, value = 0, extra = [], count } of types) {
        const members = count ?? extra.length / (WORDS_A_MEMBER[kind] ?? Infinity);
        words.push(offsetOf(name), ((flag ? 1 << 31 : 0) | (kind << 24) | members) >>> 0, value);
        words.push(...extra.map(word => (typeof word === 'string' ? offsetOf(word) : word)));
    }
    const text = new TextEncoder().encode(strings.map(string => `${string}\0`).join(''));
    const bytes = new Uint8Array(24 + words.length * 4 + text.length);
    const view = new DataView(bytes.buffer);
    [0x0001eb9f, 24, 0, words.length * 4, words.length * 4, text.length, ...words].forEach((word, index) =>
        view.setUint32(index * 4, word, true),
    );
    bytes.set(text, 24 + words.length * 4);
    return bytes;
}

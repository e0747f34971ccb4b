/** A tiny Multiboot guest for debugger tests, put together from bytes, with a symbol table. */

/** One piece of code: a label, bytes in hexadecimal, or a jump or call (opcode bytes, then a 32-bit distance). */
type Piece = { readonly label: string } | string | { readonly opcode: string; readonly to: string };

const BASE = 0x100000;
const HEADER = '02 b0 ad 1b 00 00 00 00 fe 4f 52 e4';

const call = (to: string): Piece => ({ opcode: 'e8', to });

/** What the guest does at its end. */
export const ENDINGS = {
    /** Leaves with exit status 2 * 21 + 1 by the debug exit port. */
    exit: ['b0 15', 'e6 f4'],
    /** An undefined instruction without an IDT. */
    tripleFault: ['0f 0b'],
    /** Runs until it is paused. */
    spin: [{ label: 'spin' }, 'ff c3', { opcode: 'e9', to: 'spin' }],
} satisfies Record<string, readonly Piece[]>;

function program(ending: readonly Piece[]): readonly Piece[] {
    return [
        HEADER,
        { label: 'start' },
        'bc 00 00 08 00', // mov esp, 0x80000
        '31 ed', // xor ebp, ebp
        'b8 00 00 00 00', // mov eax, 0
        { label: 'again' },
        call('increment'),
        '83 f8 05', // cmp eax, 5
        { opcode: '0f 82', to: 'again' }, // jb
        'be 00 01 10 00', // mov esi, message
        call('print'),
        'bf 00 00 07 00', // mov edi, 0x70000
        'b9 10 00 00 00', // mov ecx, 16
        'b0 aa', // mov al, 0xaa
        'f3 aa', // rep stosb
        { label: 'finish' },
        ...ending,
        { label: 'increment' },
        '55', // push ebp
        '89 e5', // mov ebp, esp
        '40', // inc eax
        '5d', // pop ebp
        'c3', // ret
        { label: 'print' },
        '55', // push ebp
        '89 e5', // mov ebp, esp
        'ba f8 03 00 00', // mov edx, 0x3f8
        { label: 'next' },
        'ac', // lodsb
        '84 c0', // test al, al
        { opcode: '0f 84', to: 'printed' }, // jz
        'ee', // out dx, al
        { opcode: 'e9', to: 'next' },
        { label: 'printed' },
        '5d', // pop ebp
        'c3', // ret
    ];
}

const MESSAGE_OFFSET = 0x100;
const MESSAGE = 'hello from the guest\n\0';

function parse(hex: string): number[] {
    return hex.split(' ').map(byte => parseInt(byte, 16));
}

function sizeOf(piece: Piece): number {
    if (typeof piece === 'string') return parse(piece).length;
    return 'label' in piece ? 0 : parse(piece.opcode).length + 4;
}

function assemble(pieces: readonly Piece[]): { code: Uint8Array; labels: Map<string, number> } {
    const labels = new Map<string, number>();
    let at = 0;
    for (const piece of pieces) {
        if (typeof piece !== 'string' && 'label' in piece) labels.set(piece.label, at);
        at += sizeOf(piece);
    }
    const code = new Uint8Array(MESSAGE_OFFSET + MESSAGE.length);
    const view = new DataView(code.buffer);
    at = 0;
    for (const piece of pieces) {
        if (typeof piece === 'string') {
            code.set(parse(piece), at);
        } else if ('opcode' in piece) {
            const opcode = parse(piece.opcode);
            code.set(opcode, at);
            view.setInt32(at + opcode.length, labels.get(piece.to)! - at - sizeOf(piece), true);
        }
        at += sizeOf(piece);
    }
    code.set(new TextEncoder().encode(MESSAGE), MESSAGE_OFFSET);
    return { code, labels };
}

/**
 * A 32-bit Multiboot ELF file with the program above and its labels as symbols.
 * @param linkedAbove what it is linked above the address that it is loaded at
 */
export function guestImage(ending: keyof typeof ENDINGS, linkedAbove = 0): Uint8Array {
    const { code, labels } = assemble(program(ENDINGS[ending]));
    const names = [...labels.keys()];
    const strings = new TextEncoder().encode(`\0${names.map(name => `${name}\0`).join('')}`);
    const codeAt = 0x1000;
    const symbolsAt = codeAt + code.length;
    const symbolsSize = (names.length + 1) * 16;
    const stringsAt = symbolsAt + symbolsSize;
    const sectionsAt = (stringsAt + strings.length + 3) & ~3;
    const image = new Uint8Array(sectionsAt + 3 * 40);
    const view = new DataView(image.buffer);
    const words = (at: number, values: readonly number[]): void =>
        values.forEach((value, index) => view.setUint32(at + index * 4, value, true));
    const halves = (at: number, values: readonly number[]): void =>
        values.forEach((value, index) => view.setUint16(at + index * 2, value, true));

    words(0, [0x464c457f, 0x00010101]);
    halves(16, [2, 3]);
    words(20, [1, BASE + labels.get('start')!, 52, sectionsAt, 0]);
    halves(40, [52, 32, 1, 40, 3, 0]);
    words(52, [1, codeAt, BASE + linkedAbove, BASE, code.length, code.length, 7, 0x1000]);
    image.set(code, codeAt);
    let nameAt = 1;
    names.forEach((name, index) => {
        const at = symbolsAt + (index + 1) * 16;
        words(at, [nameAt, BASE + linkedAbove + labels.get(name)!, 0]);
        // A local symbol without a type in section 1, as assemblers write labels.
        view.setUint16(at + 14, 1, true);
        nameAt += name.length + 1;
    });
    image.set(strings, stringsAt);
    // Section 0 is empty; 1: the symbols, which name 2, the strings.
    words(sectionsAt + 40, [0, 2, 0, 0, symbolsAt, symbolsSize, 2, 0, 4, 16]);
    words(sectionsAt + 80, [0, 3, 0, 0, stringsAt, strings.length, 0, 0, 1, 0]);
    return image;
}

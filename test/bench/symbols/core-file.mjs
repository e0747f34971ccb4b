/** A stopped vCPU as an ELF core file, which gdb takes for a process that has died. */

const PAGE = 0x1000n;
const NT_PRSTATUS = 1;
/** `struct elf_prstatus` of x86-64: 336 bytes, the registers at 112. */
const STATUS_SIZE = 336;
const REGISTERS_AT = 112;
/** `struct user_regs_struct`, in its order. */
const REGISTERS = [
    ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'],
    ...['orig_rax', 'rip', 'cs', 'rflags', 'rsp', 'ss'],
];

/**
 * @param {(name: string) => bigint} register
 * @param {Iterable<bigint>} pages linear addresses
 * @param {(page: bigint) => Uint8Array} read
 */
export function coreFile(register, pages, read) {
    const sorted = [...new Set(pages)].sort((a, b) => (a < b ? -1 : 1));
    const headers = 64 + 56 * (sorted.length + 1);
    const noteAt = headers;
    const noteSize = 12 + 8 + STATUS_SIZE;
    const dataAt = Math.ceil((noteAt + noteSize) / 0x1000) * 0x1000;
    const bytes = new Uint8Array(dataAt + sorted.length * 0x1000);
    const view = new DataView(bytes.buffer);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    view.setUint16(16, 4, true); // ET_CORE
    view.setUint16(18, 62, true);
    view.setUint32(20, 1, true);
    view.setBigUint64(32, 64n, true);
    view.setUint16(52, 64, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, sorted.length + 1, true);
    const program = (index, type, offset, address, size) => {
        const at = 64 + 56 * index;
        view.setUint32(at, type, true);
        view.setUint32(at + 4, 6, true);
        view.setBigUint64(at + 8, BigInt(offset), true);
        view.setBigUint64(at + 16, address, true);
        view.setBigUint64(at + 32, BigInt(size), true);
        view.setBigUint64(at + 40, BigInt(size), true);
        view.setBigUint64(at + 48, 1n, true);
    };
    program(0, 4, noteAt, 0n, noteSize);
    view.setUint32(noteAt, 5, true);
    view.setUint32(noteAt + 4, STATUS_SIZE, true);
    view.setUint32(noteAt + 8, NT_PRSTATUS, true);
    bytes.set(new TextEncoder().encode('CORE'), noteAt + 12);
    REGISTERS.forEach((name, index) => {
        const value = name === 'orig_rax' ? 0xffffffffffffffffn : register(name);
        view.setBigUint64(noteAt + 20 + REGISTERS_AT + 8 * index, BigInt.asUintN(64, value), true);
    });
    sorted.forEach((page, index) => {
        const at = dataAt + index * 0x1000;
        program(index + 1, 1, at, page, 0x1000);
        bytes.set(read(page), at);
    });
    return bytes;
}

export function pageOf(address) {
    return address - (address % PAGE);
}

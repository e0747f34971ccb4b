/** What users are told of symbol files that tell less than they seem to. */
import type { ByteSource } from '../symbols/byte-source';
import type { Program } from '../symbols/program';

/** e_machine of the guests that there are (System V gABI). */
const MACHINES: ReadonlySet<number> = new Set([3, 62]);
/** Where a Linux boot image has its magic number (Documentation/arch/x86/boot.rst). */
const BOOT_MAGIC = 0x202;

/** Why a file that is neither ELF nor a list of symbols has none. */
export function whyWithoutSymbols(source: ByteSource): string {
    const head = source.read(0, BOOT_MAGIC + 4);
    const text = (at: number, length: number): string => String.fromCharCode(...head.subarray(at, at + length));
    if (text(BOOT_MAGIC, 4) === 'HdrS') {
        return `${source.name}: is a boot image, which holds no symbols: name the vmlinux that it was made of, or none`;
    }
    if (text(0, 2) === 'MZ') {
        return `${source.name}: is a PE image, whose symbols are not read: name the ELF file that it was made of`;
    }
    return `${source.name}: holds no symbols: it is neither an ELF file nor a list as nm writes it`;
}

/** What is wrong with a program, as far as it has been read; the first of several. */
export function programProblem(program: Program | undefined): string | undefined {
    if (program === undefined) {
        return undefined;
    }
    if (!MACHINES.has(program.elf.machine)) {
        return `it is for another processor (ELF machine ${program.elf.machine})`;
    }
    return [...program.problems, ...program.info.dwarf.problems].at(0);
}

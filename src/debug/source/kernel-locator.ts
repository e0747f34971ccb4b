/**
 * Finds where a relocated kernel lies (KASLR): by its build-id note, which the image carries in memory, at one of the
 * places where a Linux kernel can map itself (Documentation/arch/x86/x86_64/mm.rst).
 */
import { IMAGE_END, IMAGE_FIRST, isInImage } from '../../symbols/kernel-range';
import type { PlainSymbols } from '../../symbols/plain-symbols';
import type { Program, ProgramSet } from '../../symbols/program';

/** In which steps a kernel may map itself (CONFIG_PHYSICAL_ALIGN). */
const STEP = 0x200000n;

/** What the guest may have elsewhere than it was linked to. */
export interface MovableProgram {
    readonly name: string;
    slide: bigint;
    /** Whether code of it is at a linear address. */
    hasCode(address: bigint): boolean;
}

/** A program of which it is not known yet where the guest has it. */
interface Candidate {
    readonly program: MovableProgram;
    /** What the note is, for the user. */
    readonly what: string;
    /** Linked address and bytes of the note with the build-id, or of what else tells the kernel. */
    readonly noteAt: bigint;
    readonly note: Uint8Array;
    /** Linked address of the first code. */
    readonly text: bigint;
}

/** What became known of a kernel. */
export interface KernelPlace {
    readonly program: MovableProgram;
    /** What has to be added to the addresses that it was linked at. */
    readonly slide: bigint;
}

export class KernelLocator {
    private readonly all: readonly Candidate[];
    private candidates: readonly Candidate[];
    private mismatchTold = false;

    constructor(
        programs: ProgramSet,
        /** As many of `length` bytes of linear memory as can be read. */
        private readonly read: (address: bigint, length: number) => Uint8Array,
        plain: readonly PlainSymbols[] = [],
    ) {
        const found = [...programs.programs.map(candidateOf), ...plain.map(plainCandidate)];
        this.all = found.filter(candidate => candidate !== undefined);
        this.candidates = this.all;
    }

    /** The guest begins anew: where kernels are until it shows again. */
    restart(): KernelPlace[] {
        this.candidates = this.all;
        this.mismatchTold = false;
        return this.all.map(({ program }) => ({ program, slide: 0n }));
    }

    /** Whether there is something to look for. */
    get isSearching(): boolean {
        return this.candidates.length > 0;
    }

    /** Kernels that are there now and were not found before. */
    find(): KernelPlace[] {
        const found: KernelPlace[] = [];
        this.candidates = this.candidates.filter(candidate => {
            const slide = this.slideOf(candidate);
            if (slide !== undefined) found.push({ program: candidate.program, slide });
            return slide === undefined;
        });
        return found;
    }

    /**
     * What to tell the user where a kernel runs that is none of those that were given; undefined otherwise, and once it
     * was told.
     * @param pc where supervisor code executes
     */
    mismatch(pc: bigint): string | undefined {
        const [candidate] = this.candidates;
        if (!isInImage(pc) || candidate === undefined || this.mismatchTold) {
            return undefined;
        }
        // Only where the whole image can be there already: early code runs before everything is mapped.
        if (this.read(pc, 1).length === 0 || this.anyNoteIsUnmapped(candidate)) {
            return undefined;
        }
        this.mismatchTold = true;
        const { program, what } = candidate;
        return (
            `${program.name}: this is not the kernel that runs: ${what} in the kernel image. ` +
            'Give the file of the same build, or names and lines will be wrong'
        );
    }

    private anyNoteIsUnmapped({ text, noteAt }: Candidate): boolean {
        for (let at = IMAGE_FIRST; at < IMAGE_END; at += STEP) {
            if (this.read(at, 1).length > 0) return this.read(at + noteAt - text, 1).length === 0;
        }
        return true;
    }

    private slideOf({ noteAt, note, text }: Candidate): bigint | undefined {
        const base = text - (text % STEP);
        for (let at = IMAGE_FIRST; at < IMAGE_END; at += STEP) {
            const slide = at - base;
            const address = BigInt.asUintN(64, noteAt + slide);
            const bytes = this.read(address, note.length);
            if (bytes.length === note.length && bytes.every((byte, index) => byte === note[index])) {
                return slide;
            }
        }
        return undefined;
    }
}

/** Kernels only: linked to where kernels live, with a note that is loaded, or a banner. */
function candidateOf(program: Program): Candidate | undefined {
    const text = program.firstCode();
    if (text === undefined || !isInImage(text) || !program.isLinux()) {
        return undefined;
    }
    const note = program.buildIdNote();
    if (note !== undefined) {
        const what = `its build-id, ${program.elf.buildId ?? 'none'}, is nowhere`;
        return { program, what, noteAt: note.address, note: note.bytes, text };
    }
    const banner = program.linuxBanner();
    if (banner === undefined) {
        return undefined;
    }
    const what = `its banner, '${new TextDecoder().decode(banner.bytes)}', is nowhere`;
    return { program, what, noteAt: banner.address, note: banner.bytes, text };
}

/** What every kernel's banner begins with. */
const BANNER = 'Linux version ';

function plainCandidate(program: PlainSymbols): Candidate | undefined {
    const { linux } = program;
    if (linux === undefined) {
        return undefined;
    }
    const what = 'where it has linux_banner, there is none';
    return { program, what, noteAt: linux.banner, note: new TextEncoder().encode(BANNER), text: linux.text };
}

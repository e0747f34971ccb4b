/**
 * Watchpoints in the processor's debug registers (SDM Vol. 3, 19.2): those on writes, of as much memory as the registers
 * that the guest leaves free can cover. The processor tells of one after the instruction, and neither which instruction
 * that was nor what the memory held before: that is noted whenever the guest is entered.
 */
import type { Cpu } from '../machine/cpu/cpu';
import type { GuestMemory } from '../machine/memory';
import { StateOffset } from '../machine/state';
import type { AccessObserver, Watchpoint } from '../machine/watchpoints';
import { locate } from './linear-memory';

const REGISTERS = 4;

/** One debug register's worth of a watchpoint. */
interface Piece {
    readonly watchpoint: Watchpoint;
    readonly address: bigint;
    /** 1, 2, 4 or 8 bytes, aligned: a piece lies in one page. */
    readonly length: number;
    readonly before: Uint8Array;
    /** {@link before} is what the memory held. */
    known: boolean;
}

export class RegisterWatchpoints {
    observer: AccessObserver | undefined;
    private watchpoints: readonly Watchpoint[] = [];
    private pieces: readonly Piece[] = [];

    constructor(private readonly memory: GuestMemory) {}

    /** Those for which {@link problem} finds one are left out. */
    replace(watchpoints: readonly Watchpoint[]): void {
        this.watchpoints = watchpoints;
        const possible = watchpoints.some(watchpoint => kindProblem(watchpoint) !== undefined) ? [] : watchpoints;
        this.pieces = possible.flatMap(watchpoint => [...piecesOf(watchpoint)]);
    }

    get isEmpty(): boolean {
        return this.pieces.length === 0;
    }

    /** Why debug registers cannot watch it all, or undefined if they can. */
    problem(cpu: Cpu): string | undefined {
        for (const watchpoint of this.watchpoints) {
            const problem = kindProblem(watchpoint);
            if (problem !== undefined) return problem;
        }
        return this.pieces.length + guestRegisters(cpu) > REGISTERS
            ? 'there are not enough debug registers for what is watched'
            : undefined;
    }

    /** A bit for each of {@link registers}. */
    get mask(): number {
        return (1 << this.pieces.length) - 1;
    }

    /** What goes into debug registers: addresses, and R/W and LEN of each as DR7 has them, at bit 0. */
    get registers(): readonly { readonly address: bigint; readonly condition: number }[] {
        return this.pieces.map(({ address, length }) => ({ address, condition: conditionOf(length) }));
    }

    /** To be called before the guest is entered: notes what the memory holds. */
    note(cpu: Cpu): void {
        for (const piece of this.pieces) {
            const place = locate(cpu, this.memory, piece.address);
            piece.known = place !== undefined;
            if (place !== undefined) {
                piece.before.set(this.memory.bytes.subarray(place.at, place.at + piece.length));
            }
        }
    }

    /**
     * Tells of those that have been met.
     * @param hits a bit for each of {@link registers}
     * @returns whether to stop
     */
    met(vcpu: number, cpu: Cpu, hits: number): boolean {
        const { observer } = this;
        if (observer === undefined || hits === 0) return false;
        this.pieces.forEach(({ watchpoint, address, length, before, known }, index) => {
            if (((hits >> index) & 1) === 0) return;
            observer.accessed(vcpu, watchpoint, {
                linear: { lo: Number(address & 0xffffffffn), hi: Number(address >> 32n) },
                physical: locate(cpu, this.memory, address)?.physical ?? 0,
                size: length,
                write: true,
                before: known ? before.slice() : undefined,
                isOver: true,
            });
        });
        return observer.completed(vcpu);
    }
}

/** R/W = 01 (writes) and LEN of DR7. */
function conditionOf(length: number): number {
    return 1 | ((length === 8 ? 2 : length - 1) << 2);
}

/** Debug registers that the guest has enabled for itself. */
function guestRegisters(cpu: Cpu): number {
    const own = cpu.lo(StateOffset.dr + 7 * 8);
    return [0, 1, 2, 3].filter(index => (own >> (index * 2)) & 3).length;
}

function kindProblem({ space, reads, length }: Watchpoint): string | undefined {
    if (space === 'physical') return 'debug registers know no physical addresses';
    if (reads) return 'debug registers do not tell reads from writes';
    // More cannot be covered however it is aligned.
    return length > 8 * REGISTERS ? 'debug registers cannot cover what is watched' : undefined;
}

function* piecesOf(watchpoint: Watchpoint): Generator<Piece> {
    let address = (BigInt(watchpoint.hi >>> 0) << 32n) | BigInt(watchpoint.lo >>> 0);
    for (let left = watchpoint.length; left > 0;) {
        let length = 8;
        while (length > left || Number(address & BigInt(length - 1)) !== 0) length >>= 1;
        yield { watchpoint, address, length, before: new Uint8Array(length), known: false };
        address += BigInt(length);
        left -= length;
    }
}

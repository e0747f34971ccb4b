/**
 * Stops at exceptions, which KVM does not tell: breakpoints at the handlers that the guest's IDT names. A vCPU that gets to
 * one is put back to before its exception, by the frame on its stack, and the instruction is executed again by somebody
 * who tells (`KvmEngineOptions.executeElsewhere`). In protected and long mode; in real mode interrupts share the vectors.
 */
import type { Cpu } from '../machine/cpu/cpu';
import { Efer } from '../machine/cpu/cpu-state';
import { GuestFault, hasErrorCode, Vector } from '../machine/cpu/fault';
import { interruptReturn } from '../machine/cpu/interrupt-return';
import { currentStack } from '../machine/cpu/stack';
import type { StopWish } from '../machine/engine';
import type { GuestMemory } from '../machine/memory';
import { MachineEventKind } from '../machine/observation/kinds';
import { Flag, ModeKey, StateOffset } from '../machine/state';
import { maybeFromHalfSyscall } from './half-syscall';
import { locate } from './linear-memory';
import { linearRip } from './vcpu';

/** Faults: their frame leads back to the instruction that caused them. */
const TRAPPED: ReadonlySet<number> = new Set([
    ...[Vector.DE, Vector.BR, Vector.UD, Vector.NM, Vector.DF, Vector.TS, Vector.NP, Vector.SS, Vector.GP],
    ...[Vector.PF, Vector.MF, Vector.AC, Vector.XM],
]);

const EXCEPTIONS = 32;
const LONGEST_INSTRUCTION = 15n;
const INT_N = 0xcd;
/** System descriptor types of gates: interrupt and trap, with 16 bits and with more. */
const GATE_MASK = 0x1600;
const GATE = 0x0600;
const GATE_WIDE = 0x800;
const PRESENT = 0x8000;

interface Handler {
    readonly vector: number;
    /** Bits of each thing in the frame. */
    readonly operandSize: 16 | 32 | 64;
}

/** Whether all exceptions that a debugger wants to stop at can be told this way. */
export function trapsAll(wish: StopWish): boolean {
    return trappedVectors(wish) !== undefined;
}

/** Vectors of the exceptions that a debugger wants to stop at; undefined unless all of them can be told this way. */
function trappedVectors({ kind, cause }: StopWish): readonly number[] | undefined {
    if (kind !== MachineEventKind.Exception || cause === undefined) return undefined;
    const [first, last] = typeof cause === 'number' ? [cause, cause] : cause;
    const vectors: number[] = [];
    for (let vector = first; vector <= last; vector++) {
        if (!TRAPPED.has(vector)) return undefined;
        vectors.push(vector);
    }
    return vectors;
}

/** Where a vCPU has to stop. */
interface Found {
    readonly handlers: Map<bigint, Handler[]>;
    /** Where the handler of page faults is, if it is only of interest for what SYSCALL leads there. */
    syscallFaults: bigint | undefined;
}

const NONE: Found = { handlers: new Map(), syscallFaults: undefined };

export class ExceptionTraps {
    private vectors: readonly number[] = [];
    /** By vCPU, as of the last {@link look}. */
    private readonly found = new Map<Cpu, Found>();

    /** @param halfSyscalls KVM does SYSCALL by halves: see half-syscall.ts */
    constructor(
        private readonly memory: GuestMemory,
        private readonly halfSyscalls = false,
    ) {}

    replace(wishes: readonly StopWish[]): void {
        this.vectors = [...new Set(wishes.flatMap(wish => trappedVectors(wish) ?? []))];
        this.found.clear();
    }

    /** Nobody wants to be told of an exception. */
    get isEmpty(): boolean {
        return this.vectors.length === 0;
    }

    /** A vCPU does not have to stop anywhere, as of the last {@link look}. */
    hasNoHandlers(cpu: Cpu): boolean {
        return this.of(cpu).handlers.size === 0;
    }

    private of(cpu: Cpu): Found {
        return this.found.get(cpu) ?? NONE;
    }

    /** The exception at whose handler a vCPU is, or behind its first instruction; undefined if at none. */
    vectorAt(cpu: Cpu): number | undefined {
        if ((cpu.mode & ModeKey.Protected) === 0) return undefined;
        const rip = linearRip(cpu);
        let found: number | undefined;
        // Stubs may stand closer than the longest instruction is: the nearest is the one.
        let nearest = LONGEST_INSTRUCTION;
        for (let vector = 0; vector < EXCEPTIONS; vector++) {
            const address = this.handlerOf(cpu, vector)?.address;
            if (address !== undefined && rip >= address && rip - address < nearest) {
                found = vector;
                nearest = rip - address;
            }
        }
        return found;
    }

    /** Whether a vCPU is in a mode in which exceptions are not told. */
    misses(cpu: Cpu): boolean {
        return !this.isEmpty && (cpu.mode & ModeKey.Protected) === 0;
    }

    /** Looks where the handlers are, as a vCPU's IDT is now. */
    look(cpu: Cpu): void {
        this.found.delete(cpu);
        if ((cpu.mode & ModeKey.Protected) === 0 || (this.isEmpty && !this.halfSyscalls)) return;
        const result: Found = { handlers: new Map(), syscallFaults: undefined };
        this.found.set(cpu, result);
        for (const vector of this.vectors) this.addHandler(cpu, vector, result);
        if (this.halfSyscalls && cpu.efer & Efer.SCE && cpu.longMode && !this.vectors.includes(Vector.PF)) {
            const found = this.handlerOf(cpu, Vector.PF);
            if (found !== undefined && !result.handlers.has(found.address)) result.syscallFaults = found.address;
            this.addHandler(cpu, Vector.PF, result);
        }
    }

    private addHandler(cpu: Cpu, vector: number, { handlers }: Found): void {
        const found = this.handlerOf(cpu, vector);
        if (found !== undefined) {
            const others = handlers.get(found.address) ?? [];
            handlers.set(found.address, [...others, found.handler]);
        }
    }

    /** Linear addresses of the handlers, as of the last {@link look}. */
    addresses(cpu: Cpu): Iterable<bigint> {
        return this.of(cpu).handlers.keys();
    }

    /** Whether a vCPU is at one of them. */
    isAtHandler(cpu: Cpu): boolean {
        const { handlers } = this.of(cpu);
        return handlers.size > 0 && handlers.has(linearRip(cpu));
    }

    /** Whether it is at the handler of an exception that somebody wants to be told of. */
    isAt(cpu: Cpu): boolean {
        return this.isAtHandler(cpu) && linearRip(cpu) !== this.of(cpu).syscallFaults;
    }

    /** Whether half a SYSCALL may have led a vCPU where it is. */
    maybeAtSyscall(cpu: Cpu): boolean {
        return this.halfSyscalls && this.isAtHandler(cpu) && maybeFromHalfSyscall(cpu, this.memory);
    }

    /**
     * Puts a vCPU at a handler back to before its exception.
     * @returns false if nothing shows that an exception has led here; the state is what it was
     */
    undo(cpu: Cpu): boolean {
        const saved = cpu.bytes.slice();
        for (const handler of this.of(cpu).handlers.get(linearRip(cpu)) ?? []) {
            if (this.returnFrom(cpu, handler)) {
                return true;
            }
            cpu.bytes.set(saved);
            cpu.stateReplaced();
        }
        return false;
    }

    private returnFrom(cpu: Cpu, { vector, operandSize }: Handler): boolean {
        const nmiBlocked = cpu.lo(StateOffset.nmiBlocked);
        try {
            if (hasErrorCode(vector)) {
                const stack = currentStack.useCurrent(cpu);
                stack.pop(cpu, operandSize / 8);
                stack.commit(cpu);
            }
            interruptReturn(cpu, { length: 0, operandSize } as Parameters<typeof interruptReturn>[1]);
        } catch (error) {
            if (!(error instanceof GuestFault)) throw error;
            return false;
        }
        cpu.setLo(StateOffset.nmiBlocked, nmiBlocked);
        // The processor sets it in the frame of a fault.
        cpu.writeFlags(cpu.rflags & ~Flag.RF);
        const rip = linearRip(cpu);
        return !(this.byteAt(cpu, rip - 2n) === INT_N && this.byteAt(cpu, rip - 1n) === vector);
    }

    private handlerOf(cpu: Cpu, vector: number): { readonly address: bigint; readonly handler: Handler } | undefined {
        const { longMode } = cpu;
        const size = longMode ? 16 : 8;
        if (vector * size + size - 1 > cpu.lo(StateOffset.idtrLimit)) return undefined;
        const at = cpu.get64(StateOffset.idtrBase) + BigInt(vector * size);
        const lo = this.wordAt(cpu, at);
        const hi = this.wordAt(cpu, at + 4n);
        const upper = longMode ? this.wordAt(cpu, at + 8n) : 0;
        if (lo === undefined || hi === undefined || upper === undefined) return undefined;
        if ((hi & GATE_MASK) !== GATE || (hi & PRESENT) === 0) return undefined;
        const isWide = (hi & GATE_WIDE) !== 0;
        const offset = isWide ? ((hi & 0xffff0000) | (lo & 0xffff)) >>> 0 : lo & 0xffff;
        if (longMode) {
            const address = (BigInt(upper) << 32n) | BigInt(offset);
            return { address, handler: { vector, operandSize: 64 } };
        }
        const base = this.segmentBase(cpu, lo >>> 16);
        if (base === undefined) return undefined;
        return { address: BigInt((base + offset) >>> 0), handler: { vector, operandSize: isWide ? 32 : 16 } };
    }

    /** Base of a code segment in the GDT. */
    private segmentBase(cpu: Cpu, selector: number): number | undefined {
        const index = selector & 0xfff8;
        if ((selector & 4) !== 0 || index + 7 > cpu.lo(StateOffset.gdtrLimit)) return undefined;
        const at = cpu.get64(StateOffset.gdtrBase) + BigInt(index);
        const lo = this.wordAt(cpu, at);
        const hi = this.wordAt(cpu, at + 4n);
        if (lo === undefined || hi === undefined) return undefined;
        return ((hi & 0xff000000) | ((hi & 0xff) << 16) | (lo >>> 16)) >>> 0;
    }

    private wordAt(cpu: Cpu, linear: bigint): number | undefined {
        if (Number(linear & 0xfffn) <= 0xffc) {
            const at = this.addressOf(cpu, linear);
            return at === undefined ? undefined : this.memory.view.getUint32(at, true);
        }
        const bytes = [0n, 1n, 2n, 3n].map(offset => this.byteAt(cpu, linear + offset));
        return bytes.reduceRight<number | undefined>(
            (word, byte) => (word === undefined || byte === undefined ? undefined : ((word << 8) | byte) >>> 0),
            0,
        );
    }

    private byteAt(cpu: Cpu, linear: bigint): number | undefined {
        const at = this.addressOf(cpu, linear);
        return at === undefined ? undefined : this.memory.bytes[at];
    }

    /** In the shared memory. */
    private addressOf(cpu: Cpu, linear: bigint): number | undefined {
        return locate(cpu, this.memory, BigInt.asUintN(cpu.longMode ? 64 : 32, linear))?.at;
    }
}

/** Registers and stack of a task that does not run: what it saved when it gave up its CPU, and when it entered the kernel. */
import { type PhysicalFrame, type SourceFrame, SourceStack, type StackMemory } from '../debug/source/source-stack';
import type { FrameOrigin } from '../debug/stack';
import { hex } from '../inspect/hex';
import { littleEndian } from '../inspect/linear-memory';
import { ProgramSet } from '../symbols/program';
import { AMD64, type FrameState, USER_END, USER32_CS } from '../symbols/unwind';
import { LinuxError, optional } from './errors';
import type { GuestMemory, KernelReader, Structure } from './structure';
import { pageTableRoot } from './tasks';
import { UserCode } from './user-code';

/** A register and its value; undefined where nobody has saved it. */
export interface SavedRegister {
    readonly name: string;
    readonly value: bigint;
}

export interface TaskFrame {
    /** Linear address of the instruction that is returned to. */
    readonly pc: bigint;
    readonly stackPointer: bigint;
    /** `schedule+0x5e`; for user code `user mode: busybox+0x4f21c`. */
    readonly symbol?: string;
    /** `saved`: the registers that user code had when it entered the kernel. */
    readonly origin?: FrameOrigin | 'saved';
    readonly inlined?: boolean;
    /** User code, of the task's own memory. */
    readonly user?: boolean;
    readonly source?: { readonly path: string; readonly line: number; readonly column?: number };
}

export interface TaskRegisters {
    /** What the task has given up its CPU with; its caller-saved registers are on its stack somewhere. */
    readonly kernel: readonly SavedRegister[];
    /** What user code had when it entered the kernel; absent for kernel threads. */
    readonly user?: readonly SavedRegister[];
}

/** Members of `struct inactive_task_frame` and DWARF's numbers of their registers. */
const INACTIVE: ReadonlyArray<readonly [member: string, register: number]> = [
    ['r15', 15],
    ['r14', 14],
    ['r13', 13],
    ['r12', 12],
    ['bx', 3],
    ['bp', 6],
];
const FRAME_POINTER = 6;
const STACK_POINTER = 7;
const PROGRAM_COUNTER = 16;

/** Members of `struct pt_regs` in the order in which users read registers; older and newer kernels differ in some. */
const USER_REGISTERS: ReadonlyArray<readonly [name: string, ...members: string[]]> = [
    ['rip', 'ip'],
    ['rsp', 'sp'],
    ['rax', 'ax'],
    ['rbx', 'bx'],
    ['rcx', 'cx'],
    ['rdx', 'dx'],
    ['rsi', 'si'],
    ['rdi', 'di'],
    ['rbp', 'bp'],
    ...[8, 9, 10, 11, 12, 13, 14, 15].map(number => [`r${number}`, `r${number}`] as const),
    ['rflags', 'flags'],
    ['cs', 'cs'],
    ['ss', 'ss'],
    ['orig_rax', 'orig_ax'],
];

const DEFAULT_STACK = 0x4000;
/** Bytes that newer kernels keep free above the registers, for events that processors with FRED push. */
const PADDINGS = [0, 16];

/** What a task that does not run has saved. @throws LinuxError if it is not in memory */
export function savedState(task: Structure): FrameState {
    const sp = task.big('thread.sp');
    const frame = task.reader.at('inactive_task_frame', sp);
    const { start, end } = stackOf(task);
    if (sp < start || sp + BigInt(frame.type.size) > end) {
        throw new LinuxError(`the saved stack pointer ${hex(sp)} is not in the task's stack`);
    }
    const registers: (bigint | undefined)[] = AMD64.names.map(() => undefined);
    for (const [member, register] of INACTIVE) registers[register] = frame.big(member);
    const pc = frame.big('ret_addr');
    registers[STACK_POINTER] = sp + BigInt(frame.type.size);
    registers[PROGRAM_COUNTER] = pc;
    return { pc, registers, isReturn: true };
}

/** @throws LinuxError if they are not in memory */
export function taskRegisters(task: Structure, running: boolean): TaskRegisters {
    const kernel: SavedRegister[] = [];
    if (!running) {
        const { registers } = savedState(task);
        AMD64.names.forEach((name, number) => {
            const value = registers[number];
            if (value !== undefined) kernel.push({ name, value });
        });
    }
    const saved = userRegisters(task);
    const user =
        saved &&
        USER_REGISTERS.flatMap(([name, member]) => (saved.has(member) ? [{ name, value: saved.big(member) }] : []));
    return { kernel, user };
}

/** Where user code was when it entered the kernel: at the top of the task's stack. */
function userRegisters(task: Structure): Structure | undefined {
    const { reader } = task;
    const type = reader.layout.record('pt_regs');
    if (type === undefined || task.big('mm') === 0n) {
        return undefined;
    }
    const { end } = stackOf(task);
    return PADDINGS.map(padding => reader.at(type, end - BigInt(padding + type.size))).find(
        registers => (registers.big('cs') & 3n) === 3n,
    );
}

/** The task's kernel stack. */
export function stackOf(task: Structure): { readonly start: bigint; readonly end: bigint } {
    const { layout } = task.reader;
    const union = layout.record('thread_union', 'union');
    const field = union && layout.field(union, 'stack');
    const start = task.big('stack');
    return { start, end: start + BigInt(field?.size === undefined || field.size === 0 ? DEFAULT_STACK : field.size) };
}

/**
 * The stack of a task that does not run, innermost frame first.
 * @throws LinuxError if its registers are not in memory
 */
export function taskStack(reader: KernelReader, task: bigint): TaskFrame[] {
    const structure = reader.at('task_struct', task);
    const state = savedState(structure);
    const memory = stackMemory(structure);
    const stacks = reader.kernel.stacks ?? new SourceStack(new ProgramSet());
    const frames = stacks.walk(state, AMD64, memory) ?? byFramePointers(reader, state, stackOf(structure));
    const names = new UserCode(reader, task);
    const named = [...stacks.expand(frames)].map(frame => nameFrame(reader, frame, names));
    // Where the stack could not be followed so far, the registers at its top tell all the same.
    const user = frames.some(frame => frame.state.user !== undefined) ? undefined : userState(structure);
    if (user === undefined) {
        return named;
    }
    const outer = stacks.walk(user, AMD64, memory) ?? [{ state: user, numbering: AMD64 }];
    const [first, ...callers] = [...stacks.expand(outer)].map(frame => nameFrame(reader, frame, names));
    return [...named, { ...first, origin: 'saved' }, ...callers];
}

/** The kernel's memory, and the task's own in the lower half. */
function stackMemory(task: Structure): StackMemory {
    const { memory } = task.reader;
    const root = optional(() => {
        const mm = task.pointer('mm');
        return mm && pageTableRoot(mm);
    });
    const own = root === undefined ? memory : memory.space(root);
    const of = (address: bigint): GuestMemory => (address >= USER_END ? memory : own);
    return {
        readMemory: (offset, size) => {
            const address = BigInt.asUintN(64, offset);
            const { bytes } = of(address).read(address, size);
            return bytes.length === size ? bytes : undefined;
        },
        isExecutable: offset => memory.isExecutable(BigInt.asUintN(64, offset)),
        isUserCode: offset => {
            const address = BigInt.asUintN(64, offset);
            return of(address).isUserCode(address);
        },
    };
}

function userState(task: Structure): FrameState | undefined {
    return optional(() => {
        const saved = userRegisters(task);
        if (saved === undefined) return undefined;
        const registers = AMD64.names.map(name => {
            const member = USER_REGISTERS.find(([register]) => register === name)?.[1];
            return member !== undefined && saved.has(member) ? saved.big(member) : undefined;
        });
        const user = saved.big('cs') === USER32_CS ? 32 : 64;
        return { pc: saved.big('ip'), registers, isReturn: false, user };
    });
}

/** Where no tables tell: kernels that keep frame pointers have them in a chain up the stack. */
function byFramePointers(
    { memory }: KernelReader,
    innermost: FrameState,
    { end }: { readonly end: bigint },
): PhysicalFrame[] {
    const frames: PhysicalFrame[] = [{ state: innermost, numbering: AMD64 }];
    for (;;) {
        const { registers } = frames[frames.length - 1].state;
        const frame = registers[FRAME_POINTER] ?? 0n;
        const above = registers[STACK_POINTER] ?? 0n;
        // Further up each time, so it ends.
        if (frame < above || frame + 16n > end || frame % 8n !== 0n) {
            return frames;
        }
        const { bytes } = memory.read(frame, 16);
        const pc = bytes.length < 16 ? 0n : littleEndian(bytes, 8, 8);
        if (pc === 0n || !memory.isExecutable(pc - 1n)) {
            return frames;
        }
        const outer: (bigint | undefined)[] = AMD64.names.map(() => undefined);
        outer[FRAME_POINTER] = littleEndian(bytes, 0, 8);
        outer[STACK_POINTER] = frame + 16n;
        outer[PROGRAM_COUNTER] = pc;
        frames.push({ state: { pc, registers: outer, isReturn: true }, numbering: AMD64, origin: 'framePointer' });
    }
}

function nameFrame(
    { kernel }: KernelReader,
    { physical, isInlined, name, path, line, column }: SourceFrame,
    names: UserCode,
): TaskFrame {
    const { state, numbering, origin } = physical;
    const symbol = (): string | undefined =>
        state.user !== undefined
            ? `user mode: ${names.name(state.pc) ?? hex(state.pc)}`
            : returnSymbol(kernel.symbol(state.pc - 1n));
    return {
        pc: state.pc,
        stackPointer: state.registers[numbering.stackPointer] ?? 0n,
        symbol: name ?? symbol(),
        origin,
        inlined: isInlined || undefined,
        user: state.user === undefined ? undefined : true,
        source: path === undefined || !line ? undefined : { path, line, column: column || undefined },
    };
}

/** The place behind the call at `name+0x4f`. */
function returnSymbol(call: string | undefined): string | undefined {
    const [, name, offset] = /^(.*?)(?:\+0x([0-9a-f]+))?$/.exec(call ?? '') ?? [];
    return call === undefined ? undefined : `${name}+0x${(parseInt(offset ?? '0', 16) + 1).toString(16)}`;
}

/** The system calls that KVM needs, through koffi: everything else of this folder is plain TypeScript over them. */
import { Ioctl, IOCTL_NAMES } from './abi';
import { EINTR, KvmError, KvmUnavailableError } from './errors';

type Call = (...args: readonly (number | string | Uint8Array)[]) => number;

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;

/** x86-64 system call numbers. */
const enum Syscall {
    read = 0,
    rt_sigprocmask = 14,
    rt_sigtimedwait = 128,
    gettid = 186,
    timer_create = 222,
    timer_settime = 223,
    timer_delete = 226,
    clock_gettime = 228,
    tgkill = 234,
}

/** As much of koffi as is used. */
interface Koffi {
    load(library: string): { func(definition: string): unknown };
    errno(): number;
}

interface Functions {
    readonly open: Call;
    readonly close: Call;
    readonly ioctl: Call;
    readonly mmap: Call;
    readonly memmove: Call;
    readonly syscall: Call;
    readonly errno: () => number;
}

let functions: Functions | undefined;

/** @throws KvmUnavailableError if the native part of koffi is not there for this platform */
function load(): Functions {
    if (functions !== undefined) {
        return functions;
    }
    if (process.platform !== 'linux' || process.arch !== 'x64') {
        throw new KvmUnavailableError(
            `KVM runs x86-64 guests on x86-64 Linux hosts only: this is ${process.platform} on ${process.arch}`,
        );
    }
    let koffi: Koffi;
    let library: ReturnType<Koffi['load']>;
    try {
        // Not an import, and out of the bundler's sight: the translator has to work where the native part is missing.
        koffi = process.getBuiltinModule('node:module').createRequire(__filename)('koffi') as Koffi;
        library = koffi.load('libc.so.6');
    } catch (error) {
        const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
        throw new KvmUnavailableError(`the 'koffi' package, which calls the system, cannot be loaded: ${reason}`);
    }
    functions = {
        open: library.func('int open(const char *, int)') as Call,
        close: library.func('int close(int)') as Call,
        ioctl: library.func('int ioctl(int, ulong, uintptr_t)') as Call,
        mmap: library.func('intptr_t mmap(uintptr_t, size_t, int, int, int, long)') as Call,
        memmove: library.func('uintptr_t memmove(void *, void *, size_t)') as Call,
        syscall: library.func('long syscall(long, long, long, long, long, long, long)') as Call,
        errno: () => koffi.errno(),
    };
    return functions;
}

/** @throws KvmError */
export function openDevice(path: string): number {
    const { open, errno } = load();
    const fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        throw new KvmError(`open ${path}`, errno());
    }
    return fd;
}

export function closeDescriptor(fd: number): void {
    load().close(fd);
}

/** The call itself: -1 for an error, see {@link lastErrno}. The argument is an address or a number. */
export function rawIoctl(fd: number, request: Ioctl, argument: number): number {
    return functions!.ioctl(fd, request, argument);
}

export function lastErrno(): number {
    return functions!.errno();
}

/** Signals that a request may meet before it counts as failed. */
const MOST_INTERRUPTIONS = 1000;

/**
 * Not for KVM_RUN: a request that a signal interrupts, as KVM_CREATE_VM may be, is made again.
 * @throws KvmError that names it
 */
export function ioctl(fd: number, request: Ioctl, argument = 0, detail?: string): number {
    const functions = load();
    let result = functions.ioctl(fd, request, argument);
    for (let times = 0; result < 0 && lastErrno() === EINTR && times < MOST_INTERRUPTIONS; times++) {
        result = functions.ioctl(fd, request, argument);
    }
    if (result < 0) {
        throw new KvmError(IOCTL_NAMES.get(request) ?? `ioctl ${request.toString(16)}`, lastErrno(), detail);
    }
    return result;
}

/** Maps what a descriptor has over pages of this process. @throws KvmError */
export function mapDescriptor(address: number, size: number, fd: number, what: string): void {
    mapMemory(address, size, MAP_SHARED | MAP_FIXED, fd, what);
}

/** Undoes {@link mapDescriptor}: the pages are plain memory again, all zero. @throws KvmError */
export function mapPlainMemory(address: number, size: number, what: string): void {
    mapMemory(address, size, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, what);
}

function mapMemory(address: number, size: number, flags: number, fd: number, what: string): void {
    if (load().mmap(address, size, PROT_READ_WRITE, flags, fd, 0) === -1) {
        throw new KvmError('mmap', lastErrno(), what);
    }
}

function systemCall(name: string, number: Syscall, ...args: readonly number[]): number {
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
    const result = Number(load().syscall(number, a, b, c, d, e, f));
    if (result < 0) {
        throw new KvmError(name, lastErrno());
    }
    return result;
}

/** Host address of the first byte of a buffer whose bytes never move: a shared one, or one of some size. */
export function addressOf(buffer: ArrayBufferLike): number {
    const bytes = new Uint8Array(buffer, 0, Math.min(16, buffer.byteLength));
    return Number(load().memmove(bytes, bytes, 0));
}

/** Memory that the kernel reads and writes. */
export class NativeBuffer {
    readonly bytes: Uint8Array;
    readonly view: DataView;
    readonly address: number;

    constructor(readonly size: number) {
        const buffer = new SharedArrayBuffer(Math.max(16, size));
        this.bytes = new Uint8Array(buffer);
        this.view = new DataView(buffer);
        this.address = addressOf(buffer);
    }

    clear(): this {
        this.bytes.fill(0);
        return this;
    }
}

/** Bytes read, from where the descriptor stands. */
export function readDescriptor(fd: number, buffer: NativeBuffer, length: number): number {
    return systemCall('read', Syscall.read, fd, buffer.address, length);
}

const SIGEV_SIGNAL_THREAD = 4;
const CLOCK_MONOTONIC = 1;
const SIG_BLOCK = 0;
const SIG_SETSIZE = 8;

/** Where things lie in the buffer of {@link ThreadAlarm}. */
const enum AlarmField {
    sigevent = 0,
    timerId = 64,
    setting = 96,
    size = 128,
}

/** Makes a KVM_RUN come back: Node and its libraries leave this one alone, and by default it is ignored. */
const SIGNAL = 23; // SIGURG

/** Where things lie in the buffer of {@link ThreadSignal}. */
const enum SignalField {
    set = 0,
    old = 8,
    noTime = 16,
    size = 32,
}

/** The calling thread's end of the signal, which stays blocked there: it interrupts nothing but a KVM_RUN that lets it in. */
export class ThreadSignal {
    readonly thread: number;
    /** Signals that the thread blocks anyway. */
    readonly othersBlocked: bigint;
    private readonly memory = new NativeBuffer(SignalField.size);

    /** @throws KvmError */
    constructor() {
        const { view, address } = this.memory;
        this.thread = systemCall('gettid', Syscall.gettid);
        const set = 1n << BigInt(SIGNAL - 1);
        view.setBigUint64(SignalField.set, set, true);
        const old = address + SignalField.old;
        systemCall('rt_sigprocmask', Syscall.rt_sigprocmask, SIG_BLOCK, address + SignalField.set, old, SIG_SETSIZE);
        this.othersBlocked = view.getBigUint64(SignalField.old, true) & ~set;
    }

    /** Takes back a signal that has been sent and that nothing has noticed; returns whether there was one. */
    consume(): boolean {
        const { address } = this.memory;
        const { syscall } = functions!;
        // Fails with EAGAIN where none waits.
        const set = address + SignalField.set;
        return Number(syscall(Syscall.rt_sigtimedwait, set, 0, address + SignalField.noTime, SIG_SETSIZE, 0, 0)) > 0;
    }
}

/**
 * Sends the signal to a thread of this process.
 * @param probe only look whether the thread is there
 * @returns false if it has ended
 */
export function signalThread(thread: number, probe = false): boolean {
    return Number(load().syscall(Syscall.tgkill, process.pid, thread, probe ? 0 : SIGNAL, 0, 0, 0)) === 0;
}

/** Of a clock's number that stands for what a thread of this process has executed: the rest is the thread's, inverted. */
const THREAD_CLOCK = 6;

let timespec: NativeBuffer | undefined;

/** Nanoseconds for which a thread of this process has had a processor; infinite if it has ended. */
export function threadTime(thread: number): number {
    timespec ??= new NativeBuffer(16);
    const clock = (~thread << 3) | THREAD_CLOCK;
    if (Number(load().syscall(Syscall.clock_gettime, clock, timespec.address, 0, 0, 0, 0)) !== 0) {
        return Infinity;
    }
    return timespec.view.getUint32(0, true) * 1e9 + timespec.view.getUint32(8, true);
}

/**
 * A timer whose signal goes to the thread that made it, where it stays blocked: it interrupts nothing but a KVM_RUN,
 * which lets it in (KVM_SET_SIGNAL_MASK). So a guest that never exits comes back on time, with no second thread and no
 * signal handler.
 */
export class ThreadAlarm {
    private readonly memory = new NativeBuffer(AlarmField.size);
    private readonly timer: number;
    private readonly signal = new ThreadSignal();
    private due = false;

    /** @throws KvmError */
    constructor() {
        const { view, address } = this.memory;
        view.setInt32(AlarmField.sigevent + 8, SIGNAL, true);
        view.setInt32(AlarmField.sigevent + 12, SIGEV_SIGNAL_THREAD, true);
        view.setInt32(AlarmField.sigevent + 16, this.signal.thread, true);
        systemCall('timer_create', Syscall.timer_create, CLOCK_MONOTONIC, address, address + AlarmField.timerId);
        this.timer = view.getInt32(AlarmField.timerId, true);
    }

    /** KVM_RUN of a vCPU comes back for the signal, which is blocked everywhere else. @throws KvmError */
    letInterrupt(vcpu: number): void {
        const mask = new NativeBuffer(4 + SIG_SETSIZE);
        mask.view.setUint32(0, SIG_SETSIZE, true);
        mask.view.setBigUint64(4, this.signal.othersBlocked, true);
        ioctl(vcpu, Ioctl.SetSignalMask, mask.address);
    }

    /** Sends the signal in so many nanoseconds; replaces what was set before. */
    set(nanoseconds: number): void {
        const { view, address } = this.memory;
        const seconds = Math.floor(nanoseconds / 1e9);
        view.setUint32(AlarmField.setting + 16, seconds, true);
        view.setUint32(AlarmField.setting + 24, Math.floor(nanoseconds - seconds * 1e9), true);
        this.due = true;
        systemCall('timer_settime', Syscall.timer_settime, this.timer, 0, address + AlarmField.setting, 0);
    }

    /** Takes back a signal that has been sent and that nothing has noticed. */
    consume(): void {
        if (this.signal.consume()) this.due = false;
    }

    /** No signal has been taken back since the alarm was set: it has yet to come, or waits. */
    get isDue(): boolean {
        return this.due;
    }

    dispose(): void {
        functions!.syscall(Syscall.timer_delete, this.timer, 0, 0, 0, 0, 0);
        this.consume();
    }
}

/** Packets that make the guest go on, and what is said of its stops: all-stop mode, where gdb waits for one stop reply. */
import type { DebugTarget, End, Stop } from '../debug/target';
import { Failure, OK } from './answers';
import type { Points } from './breakpoints';
import { PointKind } from './point-kind';
import type { RegisterPackets } from './register-packets';
import { hexOfText, parseHex, parseRange } from './text';
import { type Threads, threadName } from './threads';

const SIGINT = 2;
const SIGTRAP = 5;
const SIGABRT = 6;
const SIGSEGV = 11;

/** Instructions of a range step before the client is asked again. */
const MOST_RANGE_STEPS = 100_000;

/** Instructions of a thread that are stepped over while the RIP stays in a range. */
interface RangeStep {
    readonly vcpu: number;
    /** The vCPUs that run at the same time. */
    readonly meanwhile: readonly number[];
    readonly start: bigint;
    readonly end: bigint;
    left: number;
}

/** One part of a vCont packet. */
interface Action {
    readonly action: string;
    /** The vCPU that it is for; undefined: all. */
    readonly vcpu: number | undefined;
}

const CONTINUES = /^(c|C[0-9a-f]{2})$/;
const STEPS = /^(s|S[0-9a-f]{2}|r.*)$/;

export interface ExecutionHost {
    send(payload: string): void;
    /** Does one thing after the other. */
    enqueue(task: () => Promise<void>): void;
    readonly closed: boolean;
}

export class ExecutionPackets {
    /** gdb knows what `swbreak` and `hwbreak` mean in a stop reply. */
    namesBreakpoints = false;
    /** The client waits for the stop reply. */
    private awaitsStop = false;
    private rangeStep: RangeStep | undefined;
    private lastStop: Stop | undefined;
    private end: End | undefined;

    constructor(
        private readonly target: DebugTarget,
        private readonly threads: Threads,
        private readonly points: Points,
        private readonly registers: RegisterPackets,
        private readonly host: ExecutionHost,
    ) {}

    // ---- what the target tells -------------------------------------------------------------------------------------

    stopped(stop: Stop): void {
        this.lastStop = stop;
        if (this.rangeStep !== undefined && stop.reason === 'step') {
            this.host.enqueue(() => this.continueRangeStep(stop));
            return;
        }
        this.rangeStep = undefined;
        this.host.enqueue(() => this.reportStop(stop));
    }

    ended(end: End): void {
        this.end = end;
        this.rangeStep = undefined;
        if (this.awaitsStop) {
            this.awaitsStop = false;
            this.host.send(describeEnd(end));
        }
    }

    logged(text: string): void {
        // Only while the guest runs does gdb expect output of it.
        if (this.awaitsStop) this.host.send(`O${hexOfText(`${text}\n`)}`);
    }

    /** The client has gone. */
    forget(): void {
        this.awaitsStop = false;
        this.rangeStep = undefined;
    }

    private async reportStop(stop: Stop): Promise<void> {
        if (!this.awaitsStop) {
            return;
        }
        this.awaitsStop = false;
        this.threads.selected = stop.vcpu;
        this.host.send(await this.stopReply(stop));
    }

    private async stopReply(stop: Stop): Promise<string> {
        const registers = await this.registers.expedited(stop.vcpu);
        const parts = [`thread:${threadName(stop.vcpu)}`, ...this.stopCauses(stop), ...registers];
        return `T${signalOf(stop).toString(16).padStart(2, '0')}${parts.join(';')};`;
    }

    private stopCauses({ watch = [], breakpoints = [] }: Stop): string[] {
        if (watch.length > 0) {
            const [{ id, address }] = watch;
            const kind = this.points.byId(id)?.kind;
            const name = kind === PointKind.Read ? 'rwatch' : kind === PointKind.Access ? 'awatch' : 'watch';
            return [`${name}:${address.offset.toString(16)}`];
        }
        if (breakpoints.length > 0 && this.namesBreakpoints) {
            const isHardware = breakpoints.every(id => this.points.byId(id)?.kind === PointKind.Hardware);
            return [isHardware ? 'hwbreak:' : 'swbreak:'];
        }
        return [];
    }

    // ---- packets ---------------------------------------------------------------------------------------------------

    /** `?` */
    async status(): Promise<string> {
        if (this.end !== undefined) {
            return describeEnd(this.end);
        }
        return this.stopReply(this.lastStop ?? { reason: 'pause', vcpu: this.threads.selected });
    }

    /** `c` and `s`, at an address if one is given. */
    resumeAt(text: string, kind: 'continue' | 'step'): Promise<string | undefined> {
        const vcpu = (kind === 'step' ? this.threads.stepped : undefined) ?? this.threads.selected;
        const prepare = async (): Promise<void> => {
            const address = parseHex(text);
            if (address !== undefined) await this.target.setProgramCounter(vcpu, address);
        };
        return this.start(() => (kind === 'step' ? this.target.step(vcpu, 'into') : this.target.resume()), prepare);
    }

    /**
     * `vCont`: actions for threads, of which the first that names a thread, or none, is for it; threads without one stand
     * still. Those that continue while one steps do so for a moment.
     */
    async resumeThreads(text: string): Promise<string | undefined> {
        const actions: Action[] = [];
        for (const part of text.split(';')) {
            const [action, thread] = part.split(':') as [string, string | undefined];
            const isForAll = thread === undefined || thread === '-1';
            const vcpu = isForAll ? undefined : this.threads.parse(thread);
            if (!isForAll && vcpu === undefined) {
                return Failure.NoSuchProcess;
            }
            if (!CONTINUES.test(action) && !STEPS.test(action) && action !== 't') {
                return Failure.Invalid;
            }
            actions.push({ action, vcpu });
        }
        if (actions.every(({ action }) => action === 't')) {
            await this.interrupt();
            return OK;
        }
        const going = Array.from({ length: this.target.vcpus }, (_, vcpu) => vcpu).filter(vcpu => {
            const first = actions.find(({ vcpu: named }) => named === undefined || named === vcpu);
            return first !== undefined && CONTINUES.test(first.action);
        });
        const stepping = actions.find(({ action }) => STEPS.test(action));
        if (stepping !== undefined) {
            return this.step(stepping, going);
        }
        return this.start(() => this.target.resume(going.length === this.target.vcpus ? undefined : going));
    }

    private async step(
        { action, vcpu = this.threads.selected }: Action,
        meanwhile: readonly number[],
    ): Promise<string | undefined> {
        if (action.startsWith('r')) {
            const range = parseRange(action.slice(1));
            if (range === undefined) {
                return Failure.Invalid;
            }
            const { offset: start, length: end } = range;
            this.rangeStep = { vcpu, meanwhile, start, end, left: MOST_RANGE_STEPS };
        }
        return this.start(() => this.target.step(vcpu, 'into', { meanwhile }));
    }

    /** No answer now: the stop reply is it. */
    private async start(go: () => Promise<void>, prepare?: () => Promise<void>): Promise<string | undefined> {
        if (this.end !== undefined) {
            return describeEnd(this.end);
        }
        const problems = await this.points.apply();
        await prepare?.();
        this.awaitsStop = true;
        problems.forEach(problem => this.logged(problem));
        try {
            await go();
        } catch (error) {
            this.awaitsStop = false;
            this.rangeStep = undefined;
            throw error;
        }
        return undefined;
    }

    private async continueRangeStep(stop: Stop): Promise<void> {
        const range = this.rangeStep;
        if (range === undefined) {
            return;
        }
        const [pc = 0n] = await this.target.registerValues(range.vcpu, ['pc']);
        if (pc >= range.start && pc < range.end && --range.left > 0 && !this.host.closed) {
            await this.target.step(range.vcpu, 'into', { meanwhile: range.meanwhile });
            return;
        }
        this.rangeStep = undefined;
        await this.reportStop(stop);
    }

    async interrupt(): Promise<void> {
        if (this.target.state === 'running') {
            // What gdb looks at is no matter of its user's.
            await this.target.pause(this.lastStop?.vcpu ?? 0);
        } else if (this.rangeStep !== undefined) {
            this.rangeStep.left = 0;
        }
    }

    async restart(): Promise<undefined> {
        await this.target.reset();
        this.end = undefined;
        return undefined;
    }
}

function signalOf({ reason }: Stop): number {
    return reason === 'pause' ? SIGINT : reason === 'exception' ? SIGSEGV : SIGTRAP;
}

function describeEnd({ reason, status = 0 }: End): string {
    return reason === 'tripleFault'
        ? `X${SIGABRT.toString(16).padStart(2, '0')}`
        : `W${(status & 0xff).toString(16).padStart(2, '0')}`;
}

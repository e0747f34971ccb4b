/**
 * One gdb attached to a target: the Remote Serial Protocol (gdb manual, appendix E), all-stop mode, a thread a vCPU. No
 * packet, whatever it holds, does more than get an answer.
 */
import { HyperscopeError } from '../common/errors';
import type { End, DebugTarget, Stop } from '../debug/target';
import { Failure, OK } from './answers';
import { translateAgentExpression } from './agent-expression';
import { type Point, PointKind, Points } from './breakpoints';
import { HostFiles } from './host-files';
import { Monitor } from './monitor';
import { ACKNOWLEDGE, encodePacket, PACKET_SIZE, PacketReader, REJECT } from './packet';
import { MemoryPackets } from './memory-packets';
import { targetDescription } from './register-layout';
import { RegisterPackets } from './register-packets';
import { fromHex, fromLatin1, hexOfText, latin1, parseCount, parseHex, parseRange } from './text';

/** What a session needs of its surroundings. */
export interface SessionHost {
    send(bytes: Uint8Array): void;
    /** The client is done with us. */
    close(): void;
    /** The client wants the guest to end. */
    kill(): void;
    /** Something went wrong that no packet should be able to cause. */
    failed(error: unknown): void;
    /** File that gdb may read as the guest's program: its symbols. */
    readonly program?: {
        readonly path: string;
        read(offset: number, length: number): Uint8Array;
        readonly size: number;
    };
}

const SIGINT = 2;
const SIGTRAP = 5;
const SIGABRT = 6;
const SIGSEGV = 11;

/** Instructions of a range step before the client is asked again. */
const MOST_RANGE_STEPS = 100_000;
const LONGEST_WATCH = 0x10000;

/** Instructions of a thread that are stepped over while the RIP stays in a range. */
interface RangeStep {
    readonly vcpu: number;
    readonly start: bigint;
    readonly end: bigint;
    left: number;
}

type Command = (text: string, bytes: Uint8Array) => string | Uint8Array | undefined | Promise<string | undefined>;

export class GdbSession {
    private readonly reader: PacketReader;
    private readonly points: Points;
    private readonly registers: RegisterPackets;
    private readonly memory: MemoryPackets;
    private readonly files: HostFiles;
    private readonly monitor: Monitor;
    private readonly description = targetDescription();
    /** Answers are given in the order of the packets. */
    private queue: Promise<void> = Promise.resolve();
    private acknowledges = true;
    private lastSent: Uint8Array | undefined;
    private closed = false;
    /** The thread that `g`, `m` and their like mean. */
    private vcpu = 0;
    /** The client waits for the stop reply. */
    private awaitsStop = false;
    private rangeStep: RangeStep | undefined;
    private lastStop: Stop | undefined;
    private end: End | undefined;
    private namesBreakpoints = false;

    constructor(
        private readonly target: DebugTarget,
        private readonly host: SessionHost,
    ) {
        this.points = new Points(target);
        this.registers = new RegisterPackets(target);
        this.memory = new MemoryPackets(target);
        this.files = new HostFiles(host.program);
        this.monitor = new Monitor(target);
        this.reader = new PacketReader({
            packet: payload => {
                if (this.acknowledges) host.send(ACKNOWLEDGE);
                this.enqueue(() => this.answer(payload));
            },
            damaged: () => {
                if (this.acknowledges) host.send(REJECT);
            },
            rejected: () => {
                if (this.lastSent !== undefined) host.send(this.lastSent);
            },
            interrupt: () => {
                this.enqueue(() => this.interrupt());
            },
        });
    }

    receive(bytes: Uint8Array): void {
        this.reader.push(bytes);
    }

    /** Settles when everything that has been received is answered. */
    settled(): Promise<void> {
        return this.queue;
    }

    /** The client has gone: what it set goes too, and the guest stays as it is. */
    disconnected(): Promise<void> {
        this.closed = true;
        this.awaitsStop = false;
        this.rangeStep = undefined;
        this.enqueue(() => this.takeBack());
        return this.queue;
    }

    // ---- what the target tells -------------------------------------------------------------------------------------

    stopped(stop: Stop): void {
        this.lastStop = stop;
        if (this.rangeStep !== undefined && stop.reason === 'step') {
            this.enqueue(() => this.continueRangeStep(stop));
            return;
        }
        this.rangeStep = undefined;
        this.enqueue(() => this.reportStop(stop));
    }

    ended(end: End): void {
        this.end = end;
        this.rangeStep = undefined;
        if (this.awaitsStop) {
            this.awaitsStop = false;
            this.send(describeEnd(end));
        }
    }

    logged(text: string): void {
        // Only while the guest runs does gdb expect output of it.
        if (this.awaitsStop) this.send(`O${hexOfText(`${text}\n`)}`);
    }

    private async reportStop(stop: Stop): Promise<void> {
        if (!this.awaitsStop) {
            return;
        }
        this.awaitsStop = false;
        this.vcpu = stop.vcpu;
        this.send(await this.stopReply(stop));
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

    /** Does one thing after the other; what goes wrong with one is no matter of the next. */
    private enqueue(task: () => Promise<void>): void {
        this.queue = this.queue.then(task).catch((error: unknown) => this.host.failed(error));
    }

    // ---- packets ---------------------------------------------------------------------------------------------------

    private send(payload: string | Uint8Array): void {
        if (this.closed) {
            return;
        }
        const packet = encodePacket(typeof payload === 'string' ? fromLatin1(payload) : payload);
        this.lastSent = packet;
        this.host.send(packet);
    }

    private async answer(payload: Uint8Array): Promise<void> {
        if (this.closed) {
            return;
        }
        const text = latin1(payload);
        let answer: string | Uint8Array | undefined;
        try {
            answer = await this.command(text, payload);
        } catch (error) {
            answer = Failure.Invalid;
            if (!(error instanceof HyperscopeError)) this.host.failed(error);
        }
        if (answer !== undefined) {
            this.send(answer);
        }
    }

    /** The empty answer says that the packet means nothing to us. */
    private command(text: string, bytes: Uint8Array): ReturnType<Command> {
        for (const [prefix, command] of this.longCommands) {
            if (text.startsWith(prefix)) {
                return command(text.slice(prefix.length), bytes.subarray(prefix.length));
            }
        }
        const command = this.shortCommands[text.charAt(0)] as Command | undefined;
        return command === undefined ? '' : command(text.slice(1), bytes.subarray(1));
    }

    private readonly longCommands: readonly (readonly [prefix: string, command: Command])[] = [
        ['qSupported', text => this.supported(text)],
        ['QStartNoAckMode', () => this.stopAcknowledging()],
        ['qXfer:features:read:target.xml:', text => slice(this.description, text)],
        ['qXfer:threads:read::', text => this.threadList(text)],
        ['qXfer:exec-file:read:', text => this.programName(text)],
        ['qAttached', () => '1'],
        ['qC', () => `QC${threadName(this.vcpu)}`],
        ['qfThreadInfo', () => `m${this.threadNames().join(',')}`],
        ['qsThreadInfo', () => 'l'],
        ['qThreadExtraInfo,', text => this.threadInfo(text)],
        ['qSearch:memory:', (text, bytes) => this.memory.search(this.vcpu, text, bytes)],
        ['qRcmd,', text => this.runMonitor(text)],
        ['qSymbol', () => OK],
        ['qqemu.PhyMemMode', () => (this.memory.physical ? '1' : '0')],
        ['Qqemu.PhyMemMode:', text => this.memory.setPhysical(text)],
        ['vCont?', () => 'vCont;c;C;s;S;t;r'],
        ['vCont;', text => this.resumeThreads(text)],
        ['vFile:', (text, bytes) => this.files.answer(text, bytes)],
        ['vKill', () => this.kill(OK)],
    ];

    private readonly shortCommands: Readonly<Record<string, Command>> = {
        '?': () => this.status(),
        '!': () => OK,
        g: () => this.registers.readAll(this.vcpu),
        G: text => this.registers.writeAll(this.vcpu, text),
        p: text => this.registers.read(this.vcpu, text),
        P: text => this.registers.write(this.vcpu, text),
        m: text => this.memory.read(this.vcpu, text),
        x: text => this.memory.readBinary(this.vcpu, text),
        M: text => this.memory.write(this.vcpu, text),
        X: (text, bytes) => this.memory.writeBinary(this.vcpu, text, bytes),
        c: text => this.resumeAt(text, undefined),
        C: () => this.resumeAt('', undefined),
        s: text => this.resumeAt(text, this.vcpu),
        S: () => this.resumeAt('', this.vcpu),
        H: text => this.selectThread(text),
        T: text => (this.parseThread(text) === undefined ? Failure.NoSuchProcess : OK),
        Z: text => this.changePoint(text, true),
        z: text => this.changePoint(text, false),
        D: () => this.detach(),
        k: () => this.kill(undefined),
        R: () => this.restart(),
    };

    private supported(text: string): string {
        this.namesBreakpoints = text.includes('swbreak+');
        return [
            `PacketSize=${PACKET_SIZE.toString(16)}`,
            'QStartNoAckMode+',
            'qXfer:features:read+',
            'qXfer:threads:read+',
            ...(this.host.program === undefined ? [] : ['qXfer:exec-file:read+']),
            'vContSupported+',
            'swbreak+',
            'hwbreak+',
            'ConditionalBreakpoints+',
            'PhyMemMode+',
        ].join(';');
    }

    private stopAcknowledging(): undefined {
        this.send(OK);
        this.acknowledges = false;
        return undefined;
    }

    private async status(): Promise<string> {
        if (this.end !== undefined) {
            return describeEnd(this.end);
        }
        return this.stopReply(this.lastStop ?? { reason: 'pause', vcpu: this.vcpu });
    }

    // ---- threads ---------------------------------------------------------------------------------------------------

    private threadNames(): string[] {
        return Array.from({ length: this.target.vcpus }, (_, vcpu) => threadName(vcpu));
    }

    /** The vCPU of a thread id; any, and all, is the one that gdb looks at. */
    private parseThread(text: string): number | undefined {
        const thread = text === '-1' ? 0 : parseCount(text, this.target.vcpus);
        return thread === 0 ? this.vcpu : thread === undefined ? undefined : thread - 1;
    }

    private selectThread(text: string): string {
        const vcpu = this.parseThread(text.slice(1));
        if (vcpu === undefined || !/^[gc]/.test(text)) {
            return Failure.NoSuchProcess;
        }
        if (text.startsWith('g')) this.vcpu = vcpu;
        return OK;
    }

    private async threadInfo(text: string): Promise<string> {
        const vcpu = this.parseThread(text);
        return vcpu === undefined ? Failure.NoSuchProcess : hexOfText(await this.describeThread(vcpu));
    }

    private async describeThread(vcpu: number): Promise<string> {
        return `vCPU ${vcpu} [${(await this.target.isHalted(vcpu)) ? 'halted' : 'running'}]`;
    }

    private async threadList(range: string): Promise<string> {
        const threads: string[] = [];
        for (let vcpu = 0; vcpu < this.target.vcpus; vcpu++) {
            const text = await this.describeThread(vcpu);
            threads.push(`<thread id="${threadName(vcpu)}" core="${vcpu}" name="vCPU ${vcpu}">${text}</thread>`);
        }
        return slice(`<?xml version="1.0"?><threads>${threads.join('')}</threads>`, range);
    }

    private programName(text: string): string {
        const { program } = this.host;
        return program === undefined ? '' : slice(program.path, text.slice(text.indexOf(':') + 1));
    }

    // ---- stopping and going on -------------------------------------------------------------------------------------

    /** `type,address,kind` and, for breakpoints, `;X` and conditions in bytecode. */
    private changePoint(text: string, insert: boolean): string {
        const match = /^([0-9]),([0-9a-f]+),([0-9a-f]+)(.*)$/is.exec(text);
        if (match === null) {
            return Failure.Invalid;
        }
        const kind = Number(match[1]) as PointKind;
        const address = parseHex(match[2]);
        const length = parseCount(match[3], LONGEST_WATCH);
        if (address === undefined || length === undefined) {
            return Failure.Invalid;
        }
        if (kind > PointKind.Access || (kind >= PointKind.Write && !this.points.canWatch)) {
            return '';
        }
        const isData = kind >= PointKind.Write;
        if (isData && length === 0) {
            return Failure.Invalid;
        }
        const condition = insert && !isData ? readConditions(match[4]) : undefined;
        // A breakpoint's "kind" is the size of its instruction: one byte here, like INT3.
        const point: Point = { kind, address, length: isData ? length : 1, condition, physical: this.memory.physical };
        if (!insert) {
            this.points.remove(point);
            return OK;
        }
        return this.points.insert(point) ? OK : Failure.TooMany;
    }

    private resumeAt(text: string, step: number | undefined): Promise<string | undefined> {
        return this.resume(step, async () => {
            const address = parseHex(text);
            if (address !== undefined) await this.target.setProgramCounter(this.vcpu, address);
        });
    }

    /** Actions for threads; the first that names a thread, or none, is for it. Others go on with the one that steps. */
    private async resumeThreads(text: string): Promise<string | undefined> {
        const actions = text.split(';').map(part => {
            const [action, thread] = part.split(':') as [string, string | undefined];
            return { action, vcpu: thread === undefined ? undefined : this.parseThread(thread), named: thread };
        });
        if (actions.some(({ vcpu, named }) => named !== undefined && vcpu === undefined)) {
            return Failure.NoSuchProcess;
        }
        const stepping = actions.find(({ action }) => /^[sSr]/.test(action));
        if (stepping === undefined) {
            if (actions.every(({ action }) => action === 't')) {
                await this.interrupt();
                return OK;
            }
            return actions.every(({ action }) => /^(c|C[0-9a-f]{2}|t)$/i.test(action))
                ? this.resume(undefined)
                : Failure.Invalid;
        }
        const vcpu = stepping.vcpu ?? this.vcpu;
        if (stepping.action.startsWith('r')) {
            const range = parseRange(stepping.action.slice(1));
            if (range === undefined) {
                return Failure.Invalid;
            }
            const { offset: start, length: end } = range;
            this.rangeStep = { vcpu, start, end, left: MOST_RANGE_STEPS };
        }
        return this.resume(vcpu);
    }

    /** No answer now: the stop reply is it. */
    private async resume(step: number | undefined, prepare?: () => Promise<void>): Promise<string | undefined> {
        if (this.end !== undefined) {
            return describeEnd(this.end);
        }
        await this.points.apply();
        await prepare?.();
        this.awaitsStop = true;
        try {
            await (step === undefined ? this.target.resume() : this.target.step(step, 'into'));
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
        if (pc >= range.start && pc < range.end && --range.left > 0 && !this.closed) {
            await this.target.step(range.vcpu, 'into');
            return;
        }
        this.rangeStep = undefined;
        await this.reportStop(stop);
    }

    private async interrupt(): Promise<void> {
        if (this.target.state === 'running') {
            await this.target.pause(this.vcpu);
        } else if (this.rangeStep !== undefined) {
            this.rangeStep.left = 0;
        }
    }

    private async takeBack(): Promise<void> {
        this.points.clear();
        await this.points.apply();
    }

    private async detach(): Promise<string> {
        await this.takeBack();
        if (this.target.state === 'stopped') {
            await this.target.resume();
        }
        this.send(OK);
        this.host.close();
        return OK;
    }

    private kill(answer: string | undefined): string | undefined {
        if (answer !== undefined) this.send(answer);
        this.host.kill();
        return undefined;
    }

    private async restart(): Promise<undefined> {
        await this.target.reset();
        this.end = undefined;
        return undefined;
    }

    private async runMonitor(text: string): Promise<string> {
        const command = fromHex(text);
        if (command === undefined) {
            return Failure.Invalid;
        }
        const output = await this.monitor.run(latin1(command), this.vcpu);
        return output === '' ? OK : hexOfText(output);
    }
}

/** `;Xlength,bytecode` for each condition, of which one has to hold; `;cmds:` is of no use to us. */
function readConditions(text: string): string | undefined {
    const conditions: string[] = [];
    for (let rest = text; rest !== '';) {
        const match = /^;?X([0-9a-f]+),([0-9a-f]*)/i.exec(rest);
        if (match === null) {
            break;
        }
        const code = fromHex(match[2].slice(0, 2 * (parseCount(match[1], PACKET_SIZE) ?? 0)));
        if (code === undefined) {
            break;
        }
        const condition = translateAgentExpression(code);
        if (condition === undefined) {
            return undefined; // gdb has to be asked
        }
        conditions.push(condition);
        rest = rest.slice(match[0].length);
    }
    return conditions.length === 0 ? undefined : conditions.map(one => `(${one})`).join(' || ');
}

/** Part of a text as qXfer asks for it: `offset,length`. */
function slice(text: string, range: string): string {
    const asked = parseRange(range);
    if (asked === undefined) {
        return Failure.Invalid;
    }
    const [offset, length] = [Number(asked.offset), Number(asked.length)];
    const part = text.slice(offset, offset + Math.min(length, PACKET_SIZE / 2));
    return `${offset + part.length < text.length ? 'm' : 'l'}${part}`;
}

function threadName(vcpu: number): string {
    return (vcpu + 1).toString(16).padStart(2, '0');
}

function signalOf({ reason }: Stop): number {
    return reason === 'pause' ? SIGINT : reason === 'exception' ? SIGSEGV : SIGTRAP;
}

function describeEnd({ reason, status = 0 }: End): string {
    return reason === 'tripleFault'
        ? `X${SIGABRT.toString(16).padStart(2, '0')}`
        : `W${(status & 0xff).toString(16).padStart(2, '0')}`;
}

/**
 * One gdb attached to a target: the Remote Serial Protocol (gdb manual, appendix E), all-stop mode, a thread a vCPU. No
 * packet, whatever it holds, does more than get an answer.
 */
import { HyperscopeError } from '../common/errors';
import type { End, DebugTarget, Stop } from '../debug/target';
import { type Answer, Failure, OK } from './answers';
import { translateAgentExpression } from './agent-expression';
import { type Point, Points } from './breakpoints';
import { ExecutionPackets } from './execution-packets';
import { HostFiles } from './host-files';
import { Monitor } from './monitor';
import { ACKNOWLEDGE, encodePacket, PACKET_SIZE, PacketReader, REJECT } from './packet';
import { MemoryPackets } from './memory-packets';
import { PointKind } from './point-kind';
import { targetDescription } from './register-layout';
import { RegisterPackets } from './register-packets';
import { slice } from './slice';
import { fromHex, fromLatin1, hexOfText, latin1, parseCount, parseHex } from './text';
import { Threads, threadName } from './threads';

/** What a session needs of its surroundings. */
export interface SessionHost {
    send(bytes: Uint8Array): void;
    /** Settles when the client has taken what it was sent, or has gone; undefined if there is room for more at once. */
    room?(): Promise<void> | undefined;
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

/** What the packet has room for; the target says what it cannot watch. */
const LONGEST_WATCH = 2 ** 48;
/** Answers between two looks at other requests, if a client sends packets without waiting. */
const ANSWERS_AT_ONCE = 32;

type Command = (text: string, bytes: Uint8Array) => Answer | undefined | Promise<Answer | undefined>;

export class GdbSession {
    private readonly reader: PacketReader;
    private readonly threads: Threads;
    private readonly points: Points;
    private readonly execution: ExecutionPackets;
    private readonly registers: RegisterPackets;
    private readonly memory: MemoryPackets;
    private readonly files: HostFiles;
    private readonly monitor: Monitor;
    private readonly description: string;
    /** Answers are given in the order of the packets. */
    private queue: Promise<void> = Promise.resolve();
    private acknowledges = true;
    private lastSent: Uint8Array | undefined;
    private isClosed = false;
    private waiting = 0;
    private answered = 0;

    constructor(
        private readonly target: DebugTarget,
        private readonly host: SessionHost,
    ) {
        this.threads = new Threads(target);
        this.points = new Points(target);
        const architecture = host.program !== undefined && isI386(host.program) ? 'either' : 'x86-64';
        this.description = targetDescription(architecture);
        this.registers = new RegisterPackets(target, architecture);
        this.execution = new ExecutionPackets(target, this.threads, this.points, this.registers, this);
        this.memory = new MemoryPackets(target, () => this.isClosed);
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
                this.enqueue(() => this.sendAgain());
            },
            interrupt: () => {
                this.enqueue(() => this.execution.interrupt());
            },
        });
    }

    receive(bytes: Uint8Array): void {
        this.reader.push(bytes);
    }

    get closed(): boolean {
        return this.isClosed;
    }

    /** How much of what has been received waits for its turn. */
    get pending(): number {
        return this.waiting;
    }

    /** Settles when everything that has been received is answered. */
    settled(): Promise<void> {
        return this.queue;
    }

    /** The client has gone: what it set goes too, and the guest stays as it is. */
    disconnected(): Promise<void> {
        this.isClosed = true;
        this.execution.forget();
        this.enqueue(() => this.takeBack());
        return this.queue;
    }

    // ---- what the target tells -------------------------------------------------------------------------------------

    stopped(stop: Stop): void {
        this.execution.stopped(stop);
    }

    ended(end: End): void {
        this.execution.ended(end);
    }

    logged(text: string): void {
        this.execution.logged(text);
    }

    /** Does one thing after the other; what goes wrong with one is no matter of the next. */
    enqueue(task: () => Promise<void>): void {
        this.waiting++;
        this.queue = this.queue
            .then(task)
            .catch((error: unknown) => this.host.failed(error))
            .finally(() => this.waiting--);
    }

    // ---- packets ---------------------------------------------------------------------------------------------------

    send(answer: Answer): void {
        if (this.isClosed) {
            return;
        }
        const packet = typeof answer === 'string' ? encodePacket(fromLatin1(answer)) : answer.packet;
        this.lastSent = packet;
        this.host.send(packet);
    }

    private async answer(payload: Uint8Array): Promise<void> {
        if (this.isClosed) {
            return;
        }
        const text = latin1(payload);
        let answer: Answer | undefined;
        try {
            answer = await this.command(text, payload);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) this.host.failed(error);
            answer = EXPLAINED.test(text) && error instanceof HyperscopeError ? explain(error) : Failure.Invalid;
        }
        if (answer !== undefined) {
            this.send(answer);
            await this.mayGoOn();
        }
    }

    private async sendAgain(): Promise<void> {
        if (this.lastSent !== undefined && !this.isClosed) {
            this.host.send(this.lastSent);
            await this.mayGoOn();
        }
    }

    /** Answers wait until the client has room for them, and leave others their turn. */
    private async mayGoOn(): Promise<void> {
        if (++this.answered % ANSWERS_AT_ONCE === 0) await new Promise(resolve => setImmediate(resolve));
        await this.host.room?.();
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
        ['qXfer:features:read:', () => Failure.NoSuchDocument],
        ['qXfer:threads:read::', text => this.threads.list(text)],
        ['qXfer:exec-file:read:', text => this.programName(text)],
        ['qAttached', () => '1'],
        ['qC', () => `QC${threadName(this.threads.selected)}`],
        ['qfThreadInfo', () => `m${this.threads.names().join(',')}`],
        ['qsThreadInfo', () => 'l'],
        ['qThreadExtraInfo,', text => this.threads.information(text)],
        ['qSearch:memory:', (text, bytes) => this.memory.search(this.threads.selected, text, bytes)],
        ['qRcmd,', text => this.runMonitor(text)],
        ['qSymbol', () => OK],
        ['qqemu.PhyMemMode', () => (this.memory.physical ? '1' : '0')],
        ['Qqemu.PhyMemMode:', text => this.memory.setPhysical(text)],
        ['vCont?', () => 'vCont;c;C;s;S;t;r'],
        ['vCont;', text => this.execution.resumeThreads(text)],
        ['vFile:', (text, bytes) => this.files.answer(text, bytes)],
        ['vKill', () => this.kill(OK)],
    ];

    private readonly shortCommands: Readonly<Record<string, Command>> = {
        '?': () => this.execution.status(),
        '!': () => OK,
        g: () => this.registers.readAll(this.threads.selected),
        G: text => this.registers.writeAll(this.threads.selected, text),
        p: text => this.registers.read(this.threads.selected, text),
        P: text => this.registers.write(this.threads.selected, text),
        m: text => this.memory.read(this.threads.selected, text),
        x: text => this.memory.readBinary(this.threads.selected, text),
        M: text => this.memory.write(this.threads.selected, text),
        X: (text, bytes) => this.memory.writeBinary(this.threads.selected, text, bytes),
        c: text => this.execution.resumeAt(text, 'continue'),
        C: () => this.execution.resumeAt('', 'continue'),
        s: text => this.execution.resumeAt(text, 'step'),
        S: () => this.execution.resumeAt('', 'step'),
        H: text => this.threads.select(text),
        T: text => (this.threads.parse(text) === undefined ? Failure.NoSuchProcess : OK),
        Z: text => this.changePoint(text, true),
        z: text => this.changePoint(text, false),
        D: () => this.detach(),
        k: () => this.kill(undefined),
        R: () => this.execution.restart(),
    };

    private supported(text: string): string {
        this.execution.namesBreakpoints = text.includes('swbreak+');
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

    private async takeBack(): Promise<void> {
        this.points.clear();
        await this.points.apply();
    }

    private async detach(): Promise<undefined> {
        await this.takeBack();
        if (this.target.state === 'stopped') {
            await this.target.resume();
        }
        this.send(OK);
        this.host.close();
        return undefined;
    }

    private kill(answer: string | undefined): string | undefined {
        if (answer !== undefined) this.send(answer);
        this.host.kill();
        return undefined;
    }

    private async runMonitor(text: string): Promise<string> {
        const command = fromHex(text);
        if (command === undefined) {
            return Failure.Invalid;
        }
        const output = await this.monitor.run(latin1(command), this.threads.selected);
        return output === '' ? OK : hexOfText(output);
    }
}

/** Packets whose errors gdb prints as they are: those that go on, and those that write a register. */
const EXPLAINED = /^(?:vCont;|[csP])/;

const ELF32 = 1;
const EM_386 = 3;

/** Whether gdb, which reads the program, takes its processor for an i386. */
function isI386(program: NonNullable<SessionHost['program']>): boolean {
    const header = program.read(0, 20);
    return latin1(header.subarray(0, 4)) === '\x7fELF' && header[4] === ELF32 && header[18] === EM_386;
}

/** An error in words (gdb manual, E.1). */
function explain({ message }: HyperscopeError): string {
    return `E.${message.replace(/[^ -~]/g, '?')}`;
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

/** What can be asked of a gdb stub, in terms of threads, registers and memory. Only while the guest is stopped. */
import type { Endpoint } from '../../common/endpoint';
import { OK } from '../answers';
import type { PointKind } from '../point-kind';
import { fromHex, latin1, littleEndianHex, parseCount, parseLittleEndian, toHex } from '../text';
import { type ConnectionListener, type ConnectionTimes, StubConnection, USUAL_TIMES } from './connection';
import { StubError } from './errors';
import { isThread, threadNumber } from './stop-reply';
import { layoutOfLength, readDescription, type RegisterLayout, type StubRegister } from './target-description';

export type Resumption =
    | { readonly kind: 'continue' }
    /** One instruction of a thread; the others stand still, if the stub can have them do so. */
    | { readonly kind: 'step'; readonly thread: string };

/** A stub that closes the connection at once is tried again so often, in milliseconds between. */
const MOST_TRIES = 5;
const TRY_INTERVAL = 200;
const MOST_THREADS = 1024;
const LONGEST_XFER = 0x200000;
const SMALLEST_PACKET = 0x100;
const LARGEST_PACKET = 0x40000;
/** What gdb assumes of a stub that does not tell. */
const USUAL_PACKET = 400;
/** Room for `Xaddress,length:` and the frame of a packet. */
const HEADER = 48;

export class Stub {
    /** Offered in the answer to qSupported: `name+`, or `name=value`. */
    readonly features = new Map<string, string>();
    layout: RegisterLayout = { registers: [], features: [] };
    /** Why the stub's own description of its registers was not used. */
    layoutProblem: string | undefined;
    /** In the order of their numbers: a vCPU each. */
    threads: readonly string[] = [];
    private packetSize = USUAL_PACKET;
    private canStep = false;
    private hasVCont = false;
    private selected: string | undefined;
    private writesBinary: boolean | undefined;

    private constructor(readonly connection: StubConnection) {}

    /**
     * Connects, and finds out what the stub is.
     * @throws StubError
     */
    static async connect(endpoint: Endpoint, times: ConnectionTimes = USUAL_TIMES): Promise<Stub> {
        for (let tries = 1; ; tries++) {
            const connection = await StubConnection.open(endpoint, times);
            const stub = new Stub(connection);
            try {
                await stub.greet();
                return stub;
            } catch (error) {
                const isTurnedAway = connection.isTurnedAway;
                connection.close('the stub was left');
                if (!isTurnedAway) throw error;
                if (tries === MOST_TRIES) {
                    throw new StubError(`${stub.name} turns us away: is another debugger attached to it?`);
                }
                // Perhaps the one before has only just left.
                await new Promise(resolve => setTimeout(resolve, TRY_INTERVAL));
            }
        }
    }

    get name(): string {
        return this.connection.name;
    }

    set listener(listener: ConnectionListener | undefined) {
        this.connection.listener = listener;
    }

    private async greet(): Promise<void> {
        const supported = await this.ask('qSupported:swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386');
        if (/^E[0-9a-f]{2}$/i.test(supported)) {
            throw new StubError(`${this.name} refuses us (${supported}): is another debugger attached to it?`);
        }
        for (const item of supported.split(';')) {
            const [, name, value] = /^([^=+?-][^=]*?)(?:=(.*)|[+?-])$/.exec(item) ?? [];
            if (item.endsWith('+') || value !== undefined) this.features.set(name, value ?? '');
        }
        const size = parseCount(this.features.get('PacketSize') ?? '', 0x7fffffff);
        if (size !== undefined) {
            this.packetSize = Math.min(Math.max(size, SMALLEST_PACKET), LARGEST_PACKET);
        }
        if (this.features.has('QStartNoAckMode') && (await this.ask('QStartNoAckMode')) === OK) {
            this.connection.stopAcknowledging();
        }
        const actions = await this.ask('vCont?');
        this.hasVCont = /^vCont(?:;.*)?;c(?:;|$)/.test(actions);
        this.canStep = !this.hasVCont || /;s(?:;|$)/.test(actions);
        await this.readThreads();
        await this.readLayout();
    }

    /** @throws StubError */
    private async ask(packet: string): Promise<string> {
        return latin1(await this.connection.request(packet));
    }

    // ---- what there is -------------------------------------------------------------------------------------------

    private async readThreads(): Promise<void> {
        const found: string[] = [];
        let answer = await this.ask('qfThreadInfo');
        for (let round = 0; answer.startsWith('m') && round < MOST_THREADS; round++) {
            found.push(...answer.slice(1).split(',').filter(isThread));
            if (found.length > MOST_THREADS) {
                throw new StubError(`${this.name} has more than ${MOST_THREADS} threads`);
            }
            answer = await this.ask('qsThreadInfo');
        }
        const number = (thread: string): number => Number(`0x${threadNumber(thread)}`);
        this.threads = found.length === 0 ? ['0'] : [...new Set(found)].sort((a, b) => number(a) - number(b));
    }

    private async readLayout(): Promise<void> {
        if (this.features.has('qXfer:features:read')) {
            try {
                this.layout = await readDescription(name => this.document(name));
                return;
            } catch (error) {
                if (!(error instanceof StubError) || this.connection.closed !== undefined) throw error;
                this.layoutProblem = error.message;
            }
        }
        await this.select(this.threads[0]);
        this.layout = layoutOfLength((await this.general()).length / 2);
    }

    /**
     * A document of the stub's target description (`qXfer:features`).
     * @throws StubError
     */
    private async document(name: string): Promise<string> {
        const step = this.packetSize - 5;
        let text = '';
        for (;;) {
            const range = `${text.length.toString(16)},${step.toString(16)}`;
            const answer = await this.ask(`qXfer:features:read:${name}:${range}`);
            if (!/^[ml]/.test(answer)) {
                throw new StubError(`${this.name} has no '${name.slice(0, 80)}' (${answer.slice(0, 8)})`);
            }
            text += answer.slice(1);
            if (answer.startsWith('l') || answer.length === 1) {
                return text;
            }
            if (text.length > LONGEST_XFER) {
                throw new StubError(`'${name.slice(0, 80)}' of ${this.name} has no end`);
            }
        }
    }

    /** The vCPU that the stub means by a name of a thread; undefined if there is none. */
    vcpuOf(thread: string | undefined): number | undefined {
        if (thread === undefined) return undefined;
        const wanted = threadNumber(thread);
        const vcpu = this.threads.findIndex(other => threadNumber(other) === wanted);
        return vcpu < 0 ? undefined : vcpu;
    }

    /** What the stub says of a thread, such as `CPU#0 [halted ]`. */
    async describeThread(thread: string): Promise<string> {
        const answer = await this.ask(`qThreadExtraInfo,${thread}`);
        return latin1(fromHex(answer) ?? new Uint8Array(0));
    }

    /** What a monitor command prints; undefined if the stub knows no such thing. */
    async monitor(command: string): Promise<string | undefined> {
        let printed = '';
        const answer = latin1(
            await this.connection.request(`qRcmd,${toHex(Buffer.from(command))}`, text => (printed += text)),
        );
        if (answer === '' || /^E[0-9a-f]{2}$/i.test(answer)) {
            return undefined;
        }
        return answer === OK ? printed : printed + Buffer.from(fromHex(answer) ?? []).toString();
    }

    /** `query` of the stub's own, such as QEMU's; the empty text where it means nothing to the stub. */
    query(packet: string): Promise<string> {
        return this.ask(packet);
    }

    // ---- registers -----------------------------------------------------------------------------------------------

    /** Threads of which `g` and `m` speak from now on. */
    private async select(thread: string): Promise<void> {
        if (this.selected === thread) return;
        const answer = await this.ask(`Hg${thread}`);
        if (answer !== OK && this.threads.length > 1) {
            throw new StubError(`${this.name} does not let us look at its thread ${thread} (${answer.slice(0, 8)})`);
        }
        this.selected = thread;
    }

    private async general(): Promise<string> {
        const answer = await this.ask('g');
        if (!/^(?:[0-9a-f]{2}|xx)+$/i.test(answer)) {
            throw new StubError(`${this.name} does not tell its registers: '${answer.slice(0, 40)}'`);
        }
        return answer;
    }

    /** All registers that have a value, by the stub's names. */
    async readRegisters(thread: string): Promise<Map<string, bigint>> {
        await this.select(thread);
        const digits = await this.general();
        const values = new Map<string, bigint>();
        const others: StubRegister[] = [];
        for (const register of this.layout.registers) {
            const { name, offset, size } = register;
            const part = digits.slice(2 * offset, 2 * (offset + size));
            const value = part.length === 2 * size ? parseLittleEndian(part) : undefined;
            if (value !== undefined) values.set(name, value);
            else if (part.length < 2 * size) others.push(register);
        }
        for (const { name, number, size } of others) {
            const value = this.unreadable.has(name) ? undefined : await this.readSingle(number, size);
            if (value === undefined) this.unreadable.add(name);
            else values.set(name, value);
        }
        return values;
    }

    /** Registers beyond the answer to `g` that `p` does not give either. */
    private readonly unreadable = new Set<string>();

    private async readSingle(number: number, size: number): Promise<bigint | undefined> {
        const answer = await this.ask(`p${number.toString(16)}`);
        return answer.length === 2 * size ? parseLittleEndian(answer) : undefined;
    }

    /** @throws StubError if the stub has no such register, or does not write it */
    async writeRegister(thread: string, name: string, value: bigint): Promise<void> {
        const register = this.layout.registers.find(other => other.name === name);
        if (register === undefined) {
            throw new StubError(`${this.name} has no register '${name}'`);
        }
        await this.select(thread);
        const { number, offset, size } = register;
        const digits = littleEndianHex(value, size);
        let answer = await this.ask(`P${number.toString(16)}=${digits}`);
        if (answer === '') {
            // A stub that writes them all at once or not at all.
            const all = await this.general();
            answer = await this.ask(`G${all.slice(0, 2 * offset)}${digits}${all.slice(2 * (offset + size))}`);
        }
        if (answer !== OK) {
            throw new StubError(
                `${this.name} does not write ${name}${answer === '' ? '' : ` (${answer.slice(0, 8)})`}`,
            );
        }
    }

    // ---- memory --------------------------------------------------------------------------------------------------

    /** As many of `length` bytes as the stub gives. */
    async readMemory(thread: string, address: bigint, length: number): Promise<Uint8Array> {
        await this.select(thread);
        const most = Math.floor(this.packetSize / 2);
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
            const wanted = Math.min(most, length - done);
            const at = BigInt.asUintN(64, address + BigInt(done));
            const answer = await this.ask(`m${at.toString(16)},${wanted.toString(16)}`);
            const piece = fromHex(answer);
            if (piece === undefined || piece.length === 0 || piece.length > wanted) break;
            bytes.set(piece, done);
            done += piece.length;
        }
        return done === length ? bytes : bytes.slice(0, done);
    }

    /** Returns how many bytes were written. */
    async writeMemory(thread: string, address: bigint, bytes: Uint8Array): Promise<number> {
        await this.select(thread);
        this.writesBinary ??= (await this.ask('X0,0:')) === OK;
        const most = Math.max(1, Math.floor((this.packetSize - HEADER) / 2));
        for (let done = 0; done < bytes.length;) {
            const piece = bytes.subarray(done, done + most);
            const at = BigInt.asUintN(64, address + BigInt(done));
            const range = `${at.toString(16)},${piece.length.toString(16)}:`;
            const answer = this.writesBinary
                ? await this.connection.request(Buffer.concat([Buffer.from(`X${range}`), piece]))
                : await this.connection.request(`M${range}${toHex(piece)}`);
            if (latin1(answer) !== OK) {
                return done;
            }
            done += piece.length;
        }
        return bytes.length;
    }

    // ---- breakpoints and running ---------------------------------------------------------------------------------

    /** Whether the stub evaluates conditions of breakpoints. */
    get takesConditions(): boolean {
        return this.features.has('ConditionalBreakpoints');
    }

    /**
     * @param conditions in bytecode, of which one has to hold; only if the stub {@link takesConditions}
     * @returns why it could not be set, if so
     */
    async setPoint(
        kind: PointKind,
        address: bigint,
        length: number,
        conditions: readonly Uint8Array[] = [],
    ): Promise<string | undefined> {
        const list = conditions.map(code => `X${code.length.toString(16)},${toHex(code)}`).join('');
        const point = `Z${kind},${address.toString(16)},${length.toString(16)}`;
        // Whoever asks for a condition evaluates it as well.
        const fits = list !== '' && point.length + 1 + list.length <= this.packetSize;
        const answer = await this.ask(fits ? `${point};${list}` : point);
        if (answer === OK) return undefined;
        return answer === '' ? 'the gdb stub has no such breakpoints' : `the gdb stub refuses (${answer.slice(0, 8)})`;
    }

    async clearPoint(kind: PointKind, address: bigint, length: number): Promise<void> {
        await this.ask(`z${kind},${address.toString(16)},${length.toString(16)}`);
    }

    /** The answer is the stop reply, which the listener is given. */
    async resume(resumption: Resumption): Promise<void> {
        if (resumption.kind === 'continue') {
            this.connection.go(this.hasVCont ? 'vCont;c' : 'c');
            return;
        }
        const { thread } = resumption;
        if (!this.canStep) {
            throw new StubError(`${this.name} executes no single instructions`);
        }
        if (this.hasVCont) {
            this.connection.go(`vCont;s:${thread}`);
            return;
        }
        await this.ask(`Hc${thread}`);
        this.connection.go('s');
    }

    /** Lets the guest go on without us. */
    async detach(): Promise<void> {
        if (this.connection.closed === undefined) {
            await this.ask('D').catch(() => undefined);
            await this.connection.end();
        }
    }

    async kill(): Promise<void> {
        this.connection.tell('k');
        await this.connection.end();
    }
}

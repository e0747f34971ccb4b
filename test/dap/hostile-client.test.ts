import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import os from 'node:os';
import path from 'node:path';
import { HyperscopeSession } from '../../src/dap/session';
import { guestImage } from './guest';

/** Messages of one run; a long fuzz sets the variable higher. */
const MESSAGES = Number(process.env.FUZZ_MESSAGES ?? 4000);

const COMMANDS = [
    ...['initialize', 'launch', 'configurationDone', 'restart', 'threads', 'continue', 'pause', 'next', 'stepIn'],
    ...['stepOut', 'gotoTargets', 'goto', 'setBreakpoints', 'setInstructionBreakpoints', 'setFunctionBreakpoints'],
    ...['setExceptionBreakpoints', 'stackTrace', 'scopes', 'variables', 'setVariable', 'evaluate', 'setExpression'],
    ...['completions', 'exceptionInfo', 'modules', 'readMemory', 'writeMemory', 'disassemble', 'terminate'],
    ...['hyperscope/translateAddress', 'hyperscope/sendSerial', 'attach', 'toString', '__proto__', ''],
];

const NAMES = [
    ...['threadId', 'frameId', 'variablesReference', 'expression', 'context', 'memoryReference', 'offset', 'count'],
    ...['instructionOffset', 'instructionCount', 'breakpoints', 'filters', 'filterOptions', 'filterId', 'condition'],
    ...['hitCondition', 'logMessage', 'instructionReference', 'name', 'value', 'data', 'text', 'column', 'address'],
    ...['source', 'targetId', 'startFrame', 'levels', 'start', 'memory', 'cpus', 'arguments', 'port'],
];

/** A small generator of repeatable randomness (Numerical Recipes). */
class Random {
    constructor(private state: number) {}

    below(limit: number): number {
        this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
        return Math.floor((this.state / 2 ** 32) * limit);
    }

    of<T>(list: readonly T[]): T {
        return list[this.below(list.length)];
    }
}

function anything(random: Random, depth = 0): unknown {
    switch (random.below(depth > 2 ? 8 : 10)) {
        case 0:
            return null;
        case 1:
            return random.below(2) === 0;
        case 2:
            return random.of([0, 1, 2, 3, 8, 100, -1, 1e9, 2 ** 53, 1e308, 0.5]);
        case 3:
            return random.below(10);
        case 4:
            return random.of(['0x100000', '0x10000c', 'phys:0x100', '0xffffffffffffffff', '0x0', 'phys:', '']);
        case 5:
            return random.of([
                'rax',
                'rip',
                'eax == 3',
                'u64[rsp]',
                'eax = 7',
                'increment',
                '1 +',
                '((((',
                'cr3',
                'cs',
            ]);
        case 6:
            return random.of(['pf', 'tripleFault', 'repl', 'watch', '>= 3', '{eax}', '{', 'AAAA', '\u0000\ud800']);
        case 7:
            return 1;
        case 8:
            return Array.from({ length: random.below(4) }, () => anything(random, depth + 1));
        default:
            return Object.fromEntries(
                Array.from({ length: random.below(6) }, () => [random.of(NAMES), anything(random, depth + 1)]),
            );
    }
}

/** A session on two streams, with what it answers. */
class Connection {
    readonly input = new PassThrough();
    readonly responses = new Map<number, { success: boolean; command: string }>();
    private pending = Buffer.alloc(0);
    private readonly waiting = new Map<number, () => void>();

    constructor() {
        const output = new PassThrough();
        output.on('data', (data: Buffer) => this.receive(data));
        new HyperscopeSession({ closed: () => undefined }).start(this.input, output);
    }

    raw(text: string): void {
        this.input.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    }

    request(seq: number, command: string, args: unknown): void {
        this.raw(JSON.stringify({ seq, type: 'request', command, arguments: args }));
    }

    answered(seq: number): Promise<void> {
        return new Promise(resolve => {
            if (this.responses.has(seq)) resolve();
            else this.waiting.set(seq, resolve);
        });
    }

    private receive(data: Buffer): void {
        this.pending = Buffer.concat([this.pending, data]);
        for (;;) {
            const header = /^Content-Length: (\d+)\r\n\r\n/.exec(this.pending.toString('latin1', 0, 60));
            if (header === null) return;
            const start = header[0].length;
            const end = start + Number(header[1]);
            if (this.pending.length < end) return;
            const message = JSON.parse(this.pending.toString('utf8', start, end)) as Record<string, never>;
            this.pending = this.pending.subarray(end);
            if (message.type === 'response') {
                assert.ok(!this.responses.has(message.request_seq), 'a request was answered twice');
                this.responses.set(message.request_seq, message as never);
                this.waiting.get(message.request_seq)?.();
            }
        }
    }
}

describe('a hostile client', () => {
    let folder: string;

    before(() => {
        folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-dap-'));
        writeFileSync(path.join(folder, 'guest.elf'), guestImage('spin'));
    });

    after(() => rmSync(folder, { recursive: true, force: true }));

    it(`gets one response to each of ${MESSAGES} random requests`, async () => {
        const connection = new Connection();
        const random = new Random(2025);
        const launch = { kernel: path.join(folder, 'guest.elf'), memory: '2M' };
        for (let seq = 1; seq <= MESSAGES; seq++) {
            const command = random.of(COMMANDS);
            const args = Object.fromEntries(
                Array.from({ length: random.below(6) }, () => [random.of(NAMES), anything(random)]),
            );
            // Now and then what makes sense, so that there is a guest to be hostile to.
            const sane = random.below(3) > 0;
            if (command === 'launch' || command === 'restart') {
                connection.request(seq, command, sane ? (command === 'launch' ? launch : {}) : args);
            } else {
                connection.request(seq, command, sane ? { threadId: 1, ...args } : random.of([args, anything(random)]));
            }
            // Some at a time: requests come in bursts.
            if (seq % 20 === 0) await connection.answered(seq);
        }
        connection.request(MESSAGES + 1, 'disconnect', {});
        await connection.answered(MESSAGES + 1);
        assert.equal(connection.responses.size, MESSAGES + 1);
    });

    it('can send what is no request at all', async () => {
        const connection = new Connection();
        for (const text of ['', '{', 'null', '7', '"x"', '[]', '{}', '{"type":"request"}', '{"type":"response"}']) {
            connection.raw(text);
        }
        connection.input.write('Content-Length: what\r\n\r\n');
        connection.raw(JSON.stringify({ seq: 1, type: 'request', command: { toString: 3 } }));
        connection.request(2, 'threads', undefined);
        await connection.answered(2);
        assert.equal(connection.responses.get(2)?.success, true);
    });
});

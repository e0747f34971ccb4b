/**
 * Any message, in any order and state, gets one proper response.
 *
 *   HYPERSCOPE_CASES=1000000    that many messages
 *   HYPERSCOPE_SEED=7           others
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createGuest } from '../../src/dap/guest';
import type { TargetHost } from '../../src/debug/machine-runner';
import { Random } from '../support/random';
import { anyObject, anything, garbage, SANE } from './fuzz/messages';
import { guestImage } from './guest';
import { type Answer, InProcessClient } from './in-process';

const CASES = Number(process.env.HYPERSCOPE_CASES ?? 100_000);
const SEED = Number(process.env.HYPERSCOPE_SEED ?? 1);
/** Messages of one session, and of one burst without waiting for answers. */
const SESSION = 4000;
const BURST = 50;
/** Host milliseconds that an answer may take before it counts as a hang. */
const PATIENCE = 20_000;

/** Commands that would end the session, or the patience. */
const LEFT_OUT: ReadonlySet<string> = new Set(['disconnect']);
/** After this there is no guest: rare, or most requests would meet none. */
const FATAL = 'terminate';
/** Requests that take a while, such as those that build a machine, come less often. */
const RARE: ReadonlySet<string> = new Set([
    ...[FATAL, 'restart', 'disassemble', 'hyperscope/listing', 'hyperscope/devices', 'hyperscope/registers'],
    ...['hyperscope/descriptorTables', 'hyperscope/translation', 'hyperscope/switchEngine', 'hyperscope/pageTables'],
]);

/** A host whose clock makes slices of the guest as short as they get: there are many, and answers wait for them. */
function hurried(): TargetHost {
    let now = 0;
    return {
        now: () => (now += 1000),
        yield: () => new Promise(resolve => setImmediate(resolve)),
        sleep: () => new Promise(resolve => setImmediate(resolve)),
    };
}

describe('a hostile client', function () {
    this.timeout(0);

    let folder: string;
    const home = process.cwd();

    before(() => {
        folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-dap-'));
        writeFileSync(path.join(folder, 'spin.elf'), guestImage('spin'));
        writeFileSync(path.join(folder, 'exit.elf'), guestImage('exit'));
        // Requests that save to files save there.
        process.chdir(folder);
    });

    after(() => {
        process.chdir(home);
        rmSync(folder, { recursive: true, force: true });
    });

    it(`gets a proper response to each request among ${CASES} messages (seed ${SEED})`, async () => {
        const random = new Random(SEED);
        const counts = { requests: 0, garbage: 0, refused: 0 };
        for (let done = 0; done < CASES; done += SESSION) {
            await hostileSession(random, Math.min(SESSION, CASES - done), counts);
        }
        console.log(`      ${JSON.stringify(counts)}`);
        assert.ok(counts.refused < counts.requests * 0.9, 'hardly anything was understood');
    });

    async function hostileSession(random: Random, messages: number, counts: Record<string, number>): Promise<void> {
        const client = new InProcessClient(
            { createGuest: (configuration, output) => createGuest(configuration, output, hurried()) },
            false,
        );
        const commands = Object.keys(client.session['handlers']).filter(command => !LEFT_OUT.has(command));
        const launch = (): object => ({ kernel: random.pick(['spin.elf', 'exit.elf']), memory: '2M', serial: 'none' });
        const defects: string[] = [];
        const unsubscribe = watchDefects(client, defects);
        let burst: Promise<unknown>[] = [];
        const send = (command: unknown, args: unknown): void => {
            counts.requests++;
            const { seq, answer } = client.send(command as string, args);
            burst.push(inTime(answer, command).then(given => check(given, seq, command, counts)));
        };
        send('initialize', {});
        send('launch', launch());
        send('configurationDone', {});
        for (let message = 3; message < messages; message++) {
            if (random.below(12) === 0) {
                counts.garbage++;
                client.input.write(garbage(random));
            } else {
                const command = random.below(40) === 0 ? anything(random) : random.pick(commands);
                if (RARE.has(command as string) && !random.oneIn(25)) {
                    message--;
                    continue;
                }
                send(command, argumentsFor(random, command, launch));
                if (command === FATAL) send('launch', launch());
            }
            if (burst.length >= BURST) {
                await Promise.all(burst);
                burst = [];
            }
        }
        send('disconnect', {});
        await Promise.all(burst);
        unsubscribe();
        client.input.end();
        assert.deepEqual(defects, []);
    }
});

function argumentsFor(random: Random, command: unknown, launch: () => object): unknown {
    const sane = typeof command === 'string' && Object.hasOwn(SANE, command) ? SANE[command](random) : { threadId: 1 };
    switch (random.below(6)) {
        case 0:
            return anything(random);
        case 1:
            return anyObject(random);
        case 2:
            return { ...(command === 'launch' ? launch() : (sane as object)), ...anyObject(random) };
        default:
            return command === 'launch' ? launch() : command === 'restart' ? {} : sane;
    }
}

function check(answer: Answer, seq: number, command: unknown, counts: Record<string, number>): void {
    assert.equal(answer.request_seq, seq);
    assert.equal(answer.command, typeof command === 'string' ? command : '');
    assert.equal(typeof answer.success, 'boolean');
    if (!answer.success) {
        counts.refused++;
        assert.ok(answer.message, `${String(command)} was refused without a reason`);
    }
}

/** Exceptions that the session did not expect are reported as output: each is a defect. */
function watchDefects(client: InProcessClient, defects: string[]): () => void {
    const { session } = client;
    const report = session['reportDefect'].bind(session);
    session['reportDefect'] = error => {
        defects.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    };
    return () => {
        session['reportDefect'] = report;
    };
}

function inTime<T>(answer: Promise<T>, command: unknown): Promise<T> {
    let timer: NodeJS.Timeout;
    const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(command)}`)), PATIENCE);
    });
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** `hyperscope lockstep`: one guest on both engines, compared instruction by instruction. */
import { parseArgs } from 'node:util';
import { HyperscopeError } from '../common/errors';
import { isEmulated } from '../kvm/host-trial';
import { BlockLockstep } from '../engines/block-lockstep';
import { type Divergence, type Explained, isDivergence, Lockstep } from '../engines/lockstep';
import { buildPair, type Pair } from '../engines/lockstep-pair';
import { idleKernel, randomStream, RandomNumbers, startStream, type StreamBits } from '../engines/random-streams';
import type { MachineStop } from '../machine/stop';
import { decompressors } from '../dap/decompressors';
import { readImage, readModules } from './files';
import { describeDivergence } from './lockstep-report';
import { parseSize } from './options';
import { UsageError } from './usage';

const STREAM_LENGTH = 40;
/** Instructions between two looks at the signals and the limit. */
const CHUNK = 1000;

export interface LockstepOptions {
    readonly kernel: string | undefined;
    readonly firmware: string | undefined;
    readonly initrd: string | undefined;
    readonly append: string;
    /** Bytes. */
    readonly memory: number;
    readonly cpus: number;
    readonly instructions: number;
    /** Seed of random instructions, in place of a guest. */
    readonly random: number | undefined;
    readonly bits: StreamBits;
    readonly floating: boolean;
    /** Random instructions at CPL 3. */
    readonly user: boolean;
    readonly except: ReadonlySet<string>;
}

/** What came of a comparison. */
export interface LockstepResult {
    /** Instructions on both engines. */
    readonly executed: number;
    /** As many of them as KVM left to the translator: nothing is compared there. */
    readonly elsewhere: number;
    readonly explained: Explained;
    readonly divergence: Divergence | undefined;
    /** How the guest has ended, if so. */
    readonly end: MachineStop | undefined;
}

/** @returns exit status: 0 if no difference was found, 1 if one was */
export async function lockstep(args: readonly string[]): Promise<number> {
    const { executed, elsewhere, explained, divergence, end } = await compareEngines(parse(args));
    const expected = [...explained].map(([name, count]) => `${name} differed ${count} times, as expected; `);
    const summary =
        `${executed} instructions on both engines, ${elsewhere} of them left to the translator by this host's KVM; ` +
        expected.join('');
    if (divergence !== undefined) {
        process.stdout.write(`${summary}a difference:\n${describeDivergence(divergence)}`);
        return 1;
    }
    const ended = end === undefined ? '' : ` (the guest ended: ${end.reason})`;
    process.stdout.write(`${summary}no difference${ended}\n`);
    return 0;
}

/**
 * Until a difference, the guest's end, SIGINT, or as many instructions as were asked for.
 * @throws HyperscopeError if KVM cannot be had, or not for this
 */
export async function compareEngines(options: LockstepOptions): Promise<LockstepResult> {
    if (options.user && options.bits !== 64 && isEmulated()) {
        throw new HyperscopeError(
            `lockstep: this host's KVM has no VT-x or AMD-V beneath it, and executes ${options.bits}-bit code of CPL 3 as ` +
                '64-bit code: only --bits 64 can be compared there',
        );
    }
    const pair = buildPair(
        {
            memory: options.memory,
            cpus: options.cpus,
            firmware: options.firmware === undefined ? undefined : readImage('--firmware', options.firmware),
            kernel:
                options.random !== undefined
                    ? { kernel: { name: 'random instructions', data: idleKernel() }, modules: [], commandLine: '' }
                    : options.kernel === undefined
                      ? undefined
                      : {
                            kernel: readImage('--kernel', options.kernel),
                            modules: readModules(options.initrd),
                            commandLine: options.append,
                            decompressors,
                        },
        },
        !options.user,
    );
    try {
        return options.user ? await compareBlocks(pair, options) : await compareSteps(pair, options);
    } finally {
        pair.engine.dispose();
    }
}

async function compareSteps(pair: Pair, options: LockstepOptions): Promise<LockstepResult> {
    const fullInterval = options.floating ? 1 : undefined;
    const { except } = options;
    const emulated = isEmulated();
    const steps = new Lockstep(pair.translator, pair.kvm, pair.engine, { except, fullInterval, emulated });
    const random = options.random === undefined ? undefined : new RandomNumbers(options.random);
    let outcome: MachineStop | Divergence | undefined;
    await untilInterrupted(() => {
        outcome = random === undefined ? guestChunk(steps) : streamChunk(steps, pair, random, options);
        return outcome === undefined && steps.executed < options.instructions;
    });
    const { executed, executedElsewhere: elsewhere, explained } = steps;
    return outcome !== undefined && isDivergence(outcome)
        ? { executed, elsewhere, explained, divergence: outcome, end: undefined }
        : { executed, elsewhere, explained, divergence: undefined, end: outcome };
}

async function compareBlocks(
    pair: Pair,
    { random, bits, floating, instructions }: LockstepOptions,
): Promise<LockstepResult> {
    const blocks = new BlockLockstep(pair, isEmulated());
    const numbers = new RandomNumbers(random ?? 0);
    let divergence: Divergence | undefined;
    await untilInterrupted(() => {
        divergence = blocks.run(randomStream(numbers, STREAM_LENGTH, { bits, floating, user: true }));
        return divergence === undefined && blocks.executed < instructions;
    });
    const { executed, explained } = blocks;
    return { executed, elsewhere: 0, explained, divergence, end: undefined };
}

/** Does something until it says that there is no more, or SIGINT comes. */
async function untilInterrupted(action: () => boolean): Promise<void> {
    let interrupted = false;
    const interrupt = (): void => {
        interrupted = true;
    };
    process.once('SIGINT', interrupt);
    try {
        while (!interrupted && action()) {
            await new Promise(resolve => setImmediate(resolve));
        }
    } finally {
        process.off('SIGINT', interrupt);
    }
}

function guestChunk(steps: Lockstep): MachineStop | Divergence | undefined {
    for (let count = 0; count < CHUNK; count++) {
        const outcome = steps.step();
        if (outcome !== undefined) return outcome;
    }
    return undefined;
}

function streamChunk(
    steps: Lockstep,
    pair: Pair,
    random: RandomNumbers,
    { bits, floating }: LockstepOptions,
): Divergence | undefined {
    const stream = randomStream(random, STREAM_LENGTH, { bits, floating });
    startStream(pair.translator, stream);
    startStream(pair.kvm, stream);
    const { cpu } = pair.translator.processors[0];
    for (let count = 0; count <= STREAM_LENGTH + 2; count++) {
        const outcome = steps.step();
        if (outcome !== undefined && isDivergence(outcome)) return outcome;
        if (outcome !== undefined || cpu.activity !== 0) break;
    }
    return undefined;
}

/** @throws UsageError */
function bitsOf(text = '64'): StreamBits {
    const bits = ([16, 32, 64] as const).find(size => String(size) === text);
    if (bits === undefined) throw new UsageError(`--bits takes 16, 32 or 64, not '${text}'`);
    return bits;
}

/** @throws UsageError */
function parse(args: readonly string[]): LockstepOptions {
    let values: Record<string, string | undefined>;
    let flags: { readonly floating: boolean; readonly user: boolean };
    try {
        const string = { type: 'string' } as const;
        const parsed = parseArgs({
            args: [...args],
            allowPositionals: false,
            options: {
                kernel: string,
                firmware: string,
                initrd: string,
                append: string,
                memory: string,
                cpus: string,
                instructions: string,
                random: string,
                bits: string,
                except: string,
                float: { type: 'boolean' },
                user: { type: 'boolean' },
            },
        });
        const { float, user, ...others } = parsed.values;
        flags = { floating: float === true, user: user === true };
        values = others;
    } catch (error) {
        throw new UsageError(error instanceof Error ? error.message.split('. ')[0] : String(error));
    }
    const number = (name: string, fallback: string, most: number): number => {
        const text = values[name] ?? fallback;
        const value = /^\d+$/.test(text) ? Number(text) : -1;
        if (value < 0 || value > most) throw new UsageError(`--${name} takes a number up to ${most}, not '${text}'`);
        return value;
    };
    if (values.kernel === undefined && values.firmware === undefined && values.random === undefined) {
        throw new UsageError('nothing to compare: give --kernel FILE, --firmware FILE or --random SEED');
    }
    if (flags.user && values.random === undefined) {
        throw new UsageError('--user is for random instructions: give --random SEED');
    }
    return {
        kernel: values.kernel,
        firmware: values.firmware,
        initrd: values.initrd,
        append: values.append ?? '',
        memory: parseSize('--memory', values.memory ?? '32M'),
        cpus: Math.max(1, number('cpus', '1', 64)),
        instructions: number('instructions', '1000000', Number.MAX_SAFE_INTEGER),
        random: values.random === undefined ? undefined : number('random', '1', 0xffffffff),
        bits: bitsOf(values.bits),
        ...flags,
        except: new Set((values.except ?? '').toUpperCase().split(',').filter(Boolean)),
    };
}

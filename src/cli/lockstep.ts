/** `hyperscope lockstep`: one guest on both engines, compared instruction by instruction. */
import { parseArgs } from 'node:util';
import { isEmulated } from '../kvm/host-trial';
import { Lockstep, type Divergence, isDivergence } from '../engines/lockstep';
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

interface LockstepOptions {
    readonly kernel: string | undefined;
    readonly firmware: string | undefined;
    readonly initrd: string | undefined;
    readonly append: string;
    readonly memory: number;
    readonly cpus: number;
    readonly instructions: number;
    readonly random: number | undefined;
    readonly bits: StreamBits;
    readonly floating: boolean;
    readonly except: ReadonlySet<string>;
}

/** @returns exit status: 0 if no difference was found, 1 if one was */
export async function lockstep(args: readonly string[]): Promise<number> {
    const options = parse(args);
    const pair = buildPair({
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
    });
    try {
        return await compare(pair, options);
    } finally {
        pair.engine.dispose();
    }
}

async function compare(pair: Pair, options: LockstepOptions): Promise<number> {
    const fullInterval = options.floating ? 1 : undefined;
    const { except } = options;
    const emulated = isEmulated();
    const steps = new Lockstep(pair.translator, pair.kvm, pair.engine, { except, fullInterval, emulated });
    let interrupted = false;
    process.once('SIGINT', () => (interrupted = true));
    const random = options.random === undefined ? undefined : new RandomNumbers(options.random);
    let outcome: MachineStop | Divergence | undefined;
    while (steps.executed < options.instructions && !interrupted) {
        outcome = random === undefined ? guestChunk(steps) : streamChunk(steps, pair, random, options);
        if (outcome !== undefined) break;
        await new Promise(resolve => setImmediate(resolve));
    }
    const summary =
        `${steps.executed} instructions on both engines, ${steps.executedElsewhere} of them left to the translator by ` +
        `this host's KVM; ${[...steps.explained].map(([name, count]) => `${name} differed ${count} times, as expected; `).join('')}`;
    if (outcome !== undefined && isDivergence(outcome)) {
        process.stdout.write(`${summary}a difference:\n${describeDivergence(outcome)}`);
        return 1;
    }
    const end = outcome === undefined ? '' : ` (the guest ended: ${outcome.reason})`;
    process.stdout.write(`${summary}no difference${end}\n`);
    return 0;
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
    const stream = randomStream(random, STREAM_LENGTH, bits, floating);
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
    let floating: boolean;
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
            },
        });
        const { float, ...others } = parsed.values;
        floating = float === true;
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
        floating,
        except: new Set((values.except ?? '').toUpperCase().split(',').filter(Boolean)),
    };
}

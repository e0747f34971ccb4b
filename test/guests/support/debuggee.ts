/** The kernel `programs/debuggee.S` under a debugger, without a protocol between them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { End, StepKind, StepOptions, Stop } from '../../../src/debug/target';
import { MachineTarget } from '../../../src/debug/machine-target';
import { Machine } from '../../../src/machine/machine';
import { readElfSymbols } from '../../../src/symbols/elf';
import { SymbolTable } from '../../../src/symbols/symbol-table';
import { CODE_ARENA_SIZE, translatorEngine } from '../../../src/translator';

export interface DebuggeeOptions {
    /** False for the interpreter tier only. */
    readonly translate?: boolean;
    readonly hotThreshold?: number;
    readonly cpus?: number;
}

/** A stop, or the end. */
export type Heard = Partial<Omit<Stop, 'reason'>> & { readonly reason: Stop['reason'] | End['reason'] };

export class Debuggee {
    readonly machine: Machine;
    readonly target: MachineTarget;
    /** What log points have said. */
    readonly logged: string[] = [];
    private readonly symbols: ReadonlyMap<string, bigint>;
    private heard: (what: Heard) => void = () => undefined;
    private failed: (error: unknown) => void = () => undefined;

    /** @param kernel path of the assembled program */
    constructor(kernel: string, { cpus, ...options }: DebuggeeOptions = {}) {
        const data = readFileSync(kernel);
        this.machine = new Machine({
            memory: 16 * 0x100000,
            cpus,
            engine: translatorEngine({ now: () => performance.now(), ...options }),
            engineArena: CODE_ARENA_SIZE,
            kernel: { kernel: { name: kernel, data }, modules: [], commandLine: '' },
        });
        const symbols = readElfSymbols(kernel, data);
        this.symbols = new Map(symbols.map(({ name, address }) => [name, address]));
        const table = new SymbolTable();
        table.add(symbols);
        this.target = new MachineTarget(this.machine, table, {
            now: () => performance.now(),
            yield: () => new Promise(resolve => setImmediate(resolve)),
            sleep: milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds)),
        });
        this.target.listener = {
            stopped: stop => this.heard(stop),
            ended: end => this.heard(end),
            logged: text => this.logged.push(text),
            failed: error => this.failed(error),
        };
    }

    /** Address of a label. */
    at(name: string): bigint {
        const address = this.symbols.get(name);
        if (address === undefined) {
            throw new Error(`the program has no label '${name}'`);
        }
        return address;
    }

    /** The label at or before an address, with the distance. */
    label(address: bigint): string {
        const [name, at] = [...this.symbols]
            .filter(([, start]) => start <= address)
            .reduce((best, symbol) => (symbol[1] >= best[1] ? symbol : best));
        return at === address ? name : `${name}+0x${(address - at).toString(16)}`;
    }

    /** Goes on until the next stop, or the end. */
    async resume(vcpus?: readonly number[]): Promise<Heard> {
        return this.until(() => this.target.resume(vcpus));
    }

    async step(kind: StepKind = 'into', options?: StepOptions): Promise<Heard> {
        return this.until(() => this.target.step(0, kind, options));
    }

    /** Goes on to the end; returns what `describe` says at each stop for the reason given. */
    async runToEnd(reason: Stop['reason'], describe: (stop: Heard) => Promise<string>): Promise<string[]> {
        const seen: string[] = [];
        for (;;) {
            const stop = await this.resume();
            if (stop.reason !== reason) {
                assert.equal(stop.reason, 'debugExit');
                return seen;
            }
            seen.push(await describe(stop));
        }
    }

    async value(expression: string): Promise<bigint> {
        return (await this.target.evaluate(0, expression, false)).value.bits;
    }

    /** What must not depend on whether anybody watches. */
    get outcome(): { readonly retired: number; readonly hash: string } {
        return { retired: this.machine.engine.retired(), hash: this.machine.stateHash() };
    }

    private async until(action: () => Promise<void>): Promise<Heard> {
        const heard = new Promise<Heard>((resolve, reject) => {
            this.heard = resolve;
            this.failed = reject;
        });
        await action();
        return heard;
    }
}

/**
 * Both engines behind one: the machine is told of one engine, and which one executes it can change at any stop.
 *
 * Both work on the state in the shared memory. The translator keeps translations of code that it has seen, and has to
 * forget them when KVM has run: KVM does not tell which code the guest writes.
 */
import { HyperscopeError } from '../common/errors';
import type { CodeBreakpoint } from '../machine/breakpoint';
import { Cr4 } from '../machine/cpu/cpu-state';
import { mappingAt } from '../machine/cpu/page-walk';
import { ALL_FEATURES, featureNames, type FeatureWords } from '../machine/cpu/cpuid';
import type {
    DirtyLogAction,
    EngineCpuHooks,
    EngineName,
    EngineStatistics,
    RunStop,
    StopWish,
    SwitchableEngine,
    TogetherStop,
    Turns,
} from '../machine/engine';
import { HIGH_RAM_BASE } from '../machine/layout';
import type { GuestMemory } from '../machine/memory';
import type { Processor } from '../machine/processor';
import { StateOffset } from '../machine/state';
import type { AccessObserver, Watchpoint } from '../machine/watchpoints';
import type { KvmEngine } from '../kvm/engine';
import { isEmulated, hostAbilities } from '../kvm/host-trial';
import { linearRip } from '../kvm/vcpu';
import { missingFeatures } from '../kvm/cpuid';
import type { TranslatorEngine } from '../translator';
import { DebugWishes, standInReason } from './stand-in';

/** The machine cannot be moved to another engine. */
export class EngineSwitchError extends HyperscopeError {}

const LONGEST_INSTRUCTION = 15n;

/** CR4 bits that KVM refuses unless CPUID shows the feature. */
const CR4_FEATURES: readonly (readonly [bit: number, name: string, word: keyof FeatureWords, feature: number])[] = [
    [Cr4.UMIP, 'UMIP', 'ecx7', 2],
    [Cr4.LA57, 'LA57', 'ecx7', 16],
    [Cr4.FSGSBASE, 'FSGSBASE', 'ebx7', 0],
    [Cr4.PCIDE, 'PCIDE', 'ecx1', 17],
    [Cr4.OSXSAVE, 'OSXSAVE', 'ecx1', 26],
    [Cr4.SMEP, 'SMEP', 'ebx7', 7],
    [Cr4.SMAP, 'SMAP', 'ebx7', 20],
];

export interface KvmSource {
    /** Made when it is first needed. @throws HyperscopeError */
    create(executeElsewhere: (vcpu: number) => RunStop | undefined): KvmEngine;
    /** @throws HyperscopeError */
    features(): FeatureWords;
}

export class MachineEngine implements SwitchableEngine {
    private kvm: KvmEngine | undefined;
    private readonly processors: Processor[] = [];
    private readonly wishes = new DebugWishes();
    /** vCPUs whose next run begins with the instruction at RIP, whatever breakpoint stands there. */
    private readonly passing = new Set<number>();
    private runningOn: EngineName = 'translator';
    /** Why the translator executes the guest in KVM's place. */
    private standsIn: string | undefined;
    /** Code may have changed since the translator ran. */
    private translationsDoubtful = false;
    /** vCPU and RIP of the last exception that stopped the guest on KVM. */
    private eventReportedAt: string | undefined;

    constructor(
        private readonly memory: GuestMemory,
        readonly translator: TranslatorEngine,
        private readonly source: KvmSource,
        start: EngineName,
        private readonly options: { readonly counted?: boolean } = {},
    ) {
        if (start === 'kvm') {
            this.kvm = this.createKvm();
            this.runningOn = 'kvm';
        }
    }

    get active(): EngineName {
        return this.runningOn;
    }

    get timed(): boolean {
        return this.executing === 'kvm' && this.options.counted !== true;
    }

    /** The engine on KVM, once it has been used. */
    get kvmEngine(): KvmEngine | undefined {
        return this.kvm;
    }

    /** What executes the guest: the translator may stand in for KVM. */
    private get executing(): EngineName {
        return this.standsIn === undefined ? this.runningOn : 'translator';
    }

    private get engine(): TranslatorEngine | KvmEngine {
        return this.executing === 'kvm' ? this.kvm! : this.translator;
    }

    // ---- switching -----------------------------------------------------------------------------------------------

    switchProblem(name: EngineName): string | undefined {
        if (name === 'translator') {
            return undefined;
        }
        try {
            return this.stateProblem(this.source.features());
        } catch (error) {
            if (error instanceof HyperscopeError) {
                return error.message;
            }
            throw error;
        }
    }

    switchTo(name: EngineName): string | undefined {
        if (name === this.runningOn) {
            return undefined;
        }
        const problem = this.switchProblem(name);
        if (problem !== undefined) {
            throw new EngineSwitchError(`the machine cannot go on on ${name}: ${problem}`);
        }
        if (name === 'kvm') {
            this.kvm ??= this.createKvm();
            this.runningOn = 'kvm';
            this.toKvm(this.kvm);
            this.chooseExecutor(this.kvm);
            return (
                [this.lostFeatures(), nativeCpuidProblem()].filter(text => text !== undefined).join('; ') || undefined
            );
        }
        this.runningOn = 'translator';
        if (this.standsIn === undefined) this.toTranslator();
        this.standsIn = undefined;
        return undefined;
    }

    private toKvm(kvm: KvmEngine): void {
        this.translator.setBreakpoints([]);
        kvm.setBreakpoints(this.wishes.breakpoints);
        for (const { index } of this.processors) kvm.stateChanged(index);
        kvm.mapChanged();
    }

    private toTranslator(): void {
        this.kvm!.settle();
        this.translationsDoubtful = true;
        this.refreshTranslator();
        this.translator.setBreakpoints(this.wishes.breakpoints);
    }

    /** Has the translator execute the guest as long as KVM would pass what the debugger wants to stop at. */
    private chooseExecutor(kvm: KvmEngine): void {
        const { wishes, processors } = this;
        const reason = wishes.isEmpty ? undefined : standInReason(kvm, processors, wishes);
        const stoodIn = this.standsIn !== undefined;
        this.standsIn = reason;
        if (stoodIn === (reason !== undefined)) {
            return;
        }
        if (stoodIn) {
            this.toKvm(kvm);
        } else {
            this.toTranslator();
        }
        for (const { index } of processors) {
            if (this.passing.has(index)) {
                this.engine.passBreakpoint(index);
            } else {
                this.engine.passNothing(index);
            }
        }
    }

    /** Why the translator executes the guest although KVM is the machine's engine. */
    get standIn(): string | undefined {
        return this.standsIn;
    }

    private createKvm(): KvmEngine {
        const kvm = this.source.create(vcpu => this.executeOnTranslator(vcpu));
        for (const processor of this.processors) kvm.addProcessor(processor);
        kvm.setWatchpoints(this.wishes.watchpoints);
        kvm.setStopWishes(this.wishes.events);
        kvm.accessObserver = this.accessObserver;
        return kvm;
    }

    /** What of the machine's present state KVM would not take. */
    private stateProblem(offered: FeatureWords): string | undefined {
        for (const { cpu, index } of this.processors) {
            const used = CR4_FEATURES.filter(
                ([bit, , word, feature]) => cpu.cr4 & bit && ((offered[word] >>> feature) & 1) === 0,
            ).map(([, name]) => name);
            if (used.length > 0) {
                return (
                    `vCPU ${index} has CR4.${used.join(', CR4.')} set, which this host's KVM does not offer; ` +
                    "start the guest with engine 'kvm' to hide from it what KVM lacks"
                );
            }
        }
        return undefined;
    }

    private lostFeatures(): string | undefined {
        const seen = this.processors[0].cpu.options.features ?? ALL_FEATURES;
        const names = featureNames(missingFeatures(seen, this.source.features()));
        return names.length === 0
            ? undefined
            : `the guest has been told of features that this host's KVM lacks: ${names.join(', ')}`;
    }

    /** One instruction that KVM cannot execute. */
    private executeOnTranslator(vcpu: number): RunStop | undefined {
        const { cpu } = this.processors[vcpu];
        const retired = cpu.get64(StateOffset.instructions);
        const before = [cpu.ripLo, cpu.ripHi, cpu.activity];
        this.refreshAt(vcpu);
        const stop = this.pastReportedEvent(vcpu, () => this.translator.run(vcpu, 1));
        const moved = [cpu.ripLo, cpu.ripHi, cpu.activity].some((value, index) => value !== before[index]);
        const executed = cpu.get64(StateOffset.instructions) !== retired;
        // Time is KVM's to count.
        cpu.set64(StateOffset.instructions, retired);
        return executed || moved || stop.reason === 'breakpoint' ? stop : undefined;
    }

    /**
     * An exception that has stopped the guest is delivered when the guest goes on from there: perhaps after an interrupt,
     * which comes first.
     */
    private pastReportedEvent(vcpu: number, run: () => RunStop): RunStop {
        const { cpu, observation } = this.processors[vcpu];
        const onEvent = observation?.onEvent;
        if (observation === undefined || onEvent === undefined) {
            return run();
        }
        const place = `${vcpu} ${cpu.ripHi} ${cpu.ripLo}`;
        const passes = this.eventReportedAt === place;
        let interrupted = false;
        let reported = false;
        observation.onEvent = event => {
            if (!event.preventable) {
                interrupted = true;
                return onEvent(event);
            }
            reported = !passes && onEvent(event);
            // The handler's first instruction is not part of it.
            if (!reported) this.translator.requestExit();
            return reported;
        };
        try {
            return run();
        } finally {
            observation.onEvent = onEvent;
            if (reported) {
                this.eventReportedAt = place;
            } else if (passes && !interrupted) {
                this.eventReportedAt = undefined;
            }
        }
    }

    /** Has the translator forget what it knows of the instruction at RIP: no other one is executed there. */
    private refreshAt(vcpu: number): void {
        const { cpu } = this.processors[vcpu];
        this.translationsDoubtful = true;
        const start = linearRip(cpu);
        for (const address of [start, start + LONGEST_INSTRUCTION - 1n]) {
            const mapping = mappingAt(cpu, address);
            if (mapping !== undefined) this.translator.invalidatePage(mapping.physical - (mapping.physical % 0x1000));
        }
        this.translator.mapChanged();
        cpu.stateReplaced();
        this.translator.stateChanged(vcpu);
    }

    /** Has the translator forget what KVM may have changed: translations of code, and of addresses. */
    private refreshTranslator(): void {
        if (!this.translationsDoubtful) {
            return;
        }
        this.translationsDoubtful = false;
        const { lowRam, highRam } = this.memory.layout;
        for (let page = 0; page < lowRam; page += 0x1000) this.translator.invalidatePage(page);
        for (let page = 0; page < highRam; page += 0x1000) this.translator.invalidatePage(HIGH_RAM_BASE + page);
        this.translator.mapChanged();
        for (const { cpu, index } of this.processors) {
            cpu.stateReplaced();
            this.translator.stateChanged(index);
        }
    }

    // ---- Engine --------------------------------------------------------------------------------------------------

    mmuHooks(vcpu: number): EngineCpuHooks {
        const translator = this.translator.mmuHooks(vcpu);
        return {
            ...translator,
            attention: () => {
                translator.attention();
                this.kvm?.attention(vcpu);
            },
            modeChanged: () => {
                translator.modeChanged();
                this.kvm?.modeChanged(vcpu);
            },
            retired: () => (this.executing === 'kvm' ? this.kvm!.retiredBy(vcpu) : translator.retired()),
        };
    }

    addProcessor(processor: Processor): void {
        this.processors.push(processor);
        this.translator.addProcessor(processor);
        this.kvm?.addProcessor(processor);
    }

    run(vcpu: number, budget: number): RunStop {
        if (this.runningOn === 'kvm') this.chooseExecutor(this.kvm!);
        this.passing.delete(vcpu);
        return this.engine.run(vcpu, budget);
    }

    runsTogether(): boolean {
        if (this.runningOn !== 'kvm' || this.processors.length === 1) return false;
        this.chooseExecutor(this.kvm!);
        return this.executing === 'kvm' && this.kvm!.runsTogether();
    }

    runTogether(vcpus: readonly number[], turns: Turns): TogetherStop {
        const stop = this.kvm!.runTogether(vcpus, turns);
        for (const vcpu of vcpus) {
            if (!this.kvm!.isPassing(vcpu)) this.passing.delete(vcpu);
        }
        return stop;
    }

    retired(): number {
        return this.engine.retired();
    }

    requestExit(): void {
        this.engine.requestExit();
    }

    invalidatePage(page: number): void {
        this.translator.invalidatePage(page);
    }

    mapChanged(): void {
        this.translator.mapChanged();
        this.kvm?.mapChanged();
    }

    stateChanged(vcpu: number): void {
        this.eventReportedAt = undefined;
        this.translator.stateChanged(vcpu);
        this.kvm?.stateChanged(vcpu);
    }

    dirtyPages(action: DirtyLogAction): readonly number[] {
        if (this.runningOn !== 'kvm' || this.kvm === undefined) {
            throw new HyperscopeError('the translator executes this guest: only KVM notes which pages are written');
        }
        if (action === 'take') return [...new Set(this.kvm.takeDirtyPages())].sort((a, b) => a - b);
        this.kvm.logDirtyPages(action === 'start');
        return [];
    }

    synchronize(vcpu?: number): void {
        this.kvm?.synchronize(vcpu);
    }

    statistics(): EngineStatistics {
        const statistics = this.translator.statistics();
        return this.kvm === undefined
            ? statistics
            : { ...statistics, ...prefixed('kvm', this.kvm.statistics()), ...this.kernelStatistics(this.kvm) };
    }

    private kernelStatistics(kvm: KvmEngine): EngineStatistics {
        const { machine, vcpus } = kvm.kernelStatistics();
        return Object.assign(
            {},
            prefixed('kernel', machine),
            ...vcpus.map((counters, vcpu) => prefixed(`kernelVcpu${vcpu}`, counters)),
        ) as EngineStatistics;
    }

    dispose(): void {
        this.kvm?.dispose();
    }

    // ---- for the debugger ----------------------------------------------------------------------------------------

    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void {
        this.wishes.breakpoints = breakpoints;
        this.engine.setBreakpoints(breakpoints);
        // KVM is asked whether it would pass them.
        if (this.standsIn !== undefined) this.kvm!.setBreakpoints(breakpoints);
    }

    setWatchpoints(watchpoints: readonly Watchpoint[]): void {
        this.wishes.watchpoints = watchpoints;
        // The translator also watches when it executes single instructions for KVM.
        this.translator.setWatchpoints(watchpoints);
        this.kvm?.setWatchpoints(watchpoints);
    }

    setStopWishes(events: readonly StopWish[]): void {
        this.wishes.events = events;
        this.kvm?.setStopWishes(events);
    }

    passBreakpoint(vcpu: number): void {
        this.passing.add(vcpu);
        this.engine.passBreakpoint(vcpu);
    }

    passNothing(vcpu: number): void {
        this.passing.delete(vcpu);
        this.engine.passNothing(vcpu);
    }

    get accessObserver(): AccessObserver | undefined {
        return this.translator.accessObserver;
    }

    set accessObserver(observer: AccessObserver | undefined) {
        this.translator.accessObserver = observer;
        if (this.kvm !== undefined) this.kvm.accessObserver = observer;
    }

    /** A device's access to memory, for watchpoints. */
    deviceAccess(address: number, size: number, write: boolean): void {
        if (this.executing === 'translator') this.translator.deviceAccess(address, size, write);
        else this.kvm!.deviceAccess(address, size);
    }

    locate(vcpu: number, target: { ripLo: number; ripHi: number }): boolean {
        return this.executing === 'translator' && this.translator.locate(vcpu, target);
    }
}

/** What guests have to expect where KVM has no hardware beneath it, and executes their user code as it is. */
function nativeCpuidProblem(): string | undefined {
    return isEmulated() && !hostAbilities().userCpuid
        ? "on this host's KVM, programs that start see the host's own CPUID, and may use instructions whose registers it does " +
              'not keep'
        : undefined;
}

function prefixed(prefix: string, statistics: EngineStatistics): EngineStatistics {
    return Object.fromEntries(
        Object.entries(statistics).map(([name, value]) => [`${prefix}${name[0].toUpperCase()}${name.slice(1)}`, value]),
    );
}

/** Carries out steps: single instructions, over calls, out of functions, and from line to line. */
import type { Cpu } from '../machine/cpu/cpu';
import type { TemporaryBreakpoint } from './breakpoints';
import type { Disassembler } from './disassembler';
import type { StepPlace } from './source/step-place';
import { codeView, type Frame, programCounter, stackPointer } from './stack';
import { isCall, isReturn, planStepInto, planStepOut, planStepOver, type StepPlan } from './stepper';
import type { StepKind, StepOptions } from './target';

/** Single instructions between two looks at requests. */
const STEPS_PER_SLICE = 2_000;

/** What a step needs of the machine. `Outcome` tells why it came back otherwise than by the end of what it was to do. */
export interface StepHost<Outcome> {
    /** Executes one instruction of the vCPU. */
    single(vcpu: number, intoInterrupts: boolean): Outcome | 'stepped' | Promise<Outcome | 'stepped'>;
    /** Runs the machine until the vCPU meets the breakpoint. */
    runUntil(vcpu: number, breakpoint: TemporaryBreakpoint, intoInterrupts: boolean): Promise<Outcome | 'stepped'>;
    /** Outcome of a step that was paused. */
    readonly paused: Outcome;
    isPauseRequested(): boolean;
    yield(): Promise<void>;
    isActive(vcpu: number): boolean;
}

/** What a step looks at. */
export interface StepView {
    readonly cpu: Cpu;
    readonly disassembler: Disassembler;
    /** Where the vCPU is in terms of source code. */
    place(): StepPlace | undefined;
    /** The frame that the innermost function with a stack of its own returns to. */
    caller(): Frame | undefined;
}

export class Steps<Outcome> {
    private steps = 0;

    constructor(
        private readonly host: StepHost<Outcome>,
        private readonly vcpu: number,
        private readonly view: StepView,
        private readonly options: StepOptions,
    ) {}

    /**
     * What a step begins with.
     * @throws TargetError if the vCPU executes nothing that could be stepped
     */
    plan(kind: StepKind): StepPlan {
        const { cpu, disassembler } = this.view;
        switch (kind) {
            case 'into':
                return planStepInto(this.vcpu, cpu);
            case 'over':
                return planStepOver(this.vcpu, cpu, disassembler);
            case 'out':
                return planStepOut(this.vcpu, cpu, this.view.caller());
        }
    }

    async run(kind: StepKind, plan: StepPlan): Promise<Outcome | 'stepped'> {
        const place = this.options.granularity === 'line' ? this.view.place() : undefined;
        const byLine = place !== undefined && (kind !== 'out' || place.inlined > 0);
        return byLine && this.host.isActive(this.vcpu) ? this.stepLine(kind, place) : this.carryOut(plan);
    }

    private async carryOut(plan: StepPlan): Promise<Outcome | 'stepped'> {
        const intoInterrupts = this.options.intoInterrupts === true;
        switch (plan.kind) {
            case 'single':
                return this.host.single(this.vcpu, intoInterrupts);
            case 'until':
                return this.host.runUntil(this.vcpu, plan.breakpoint, intoInterrupts && plan.halted === true);
            case 'untilReturn':
                return this.untilReturn(plan.stackPointer);
        }
    }

    /** Over what is called on the way, up to the return that takes the stack pointer above where it began. */
    private async untilReturn(start: bigint): Promise<Outcome | 'stepped'> {
        const { cpu, disassembler } = this.view;
        for (;;) {
            const { instruction } = disassembler.at(programCounter(cpu), codeView(cpu));
            const outcome = await this.carryOut(planStepOver(this.vcpu, cpu, disassembler));
            if (outcome !== 'stepped' || (isReturn(instruction) && stackPointer(cpu) > start)) {
                return outcome;
            }
            if (await this.mustPause()) {
                return this.host.paused;
            }
        }
    }

    /** Instruction by instruction, over calls or into them, until another statement begins. */
    private async stepLine(kind: StepKind, start: StepPlace): Promise<Outcome | 'stepped'> {
        const { cpu, disassembler } = this.view;
        let from = start;
        for (;;) {
            const { instruction } = disassembler.at(programCounter(cpu), codeView(cpu));
            const floor = stackPointer(cpu);
            const outcome = await this.carryOut(this.plan(kind === 'into' ? 'into' : 'over'));
            if (outcome !== 'stepped') {
                return outcome;
            }
            if (await this.mustPause()) {
                return this.host.paused;
            }
            const place = this.view.place();
            const called = isCall(instruction) && stackPointer(cpu) < floor;
            if (called && place?.body !== undefined) {
                return this.host.runUntil(this.vcpu, this.anywhere(place.body), false);
            }
            if (place === undefined) {
                // Code without lines: what was called is left again, anything else is where it ends.
                const back = called ? this.plan('out') : undefined;
                if (back?.kind !== 'until') return 'stepped';
                const returned = await this.carryOut(back);
                if (returned !== 'stepped') return returned;
                continue;
            }
            if (place.func === from.func) {
                const isDeeper = kind !== 'into' && place.inlined > (kind === 'out' ? from.inlined - 1 : from.inlined);
                if (isDeeper || (kind !== 'out' && place.line === from.line)) continue;
            }
            if (place.isStart || kind === 'out') {
                return 'stepped';
            }
            // In the middle of a statement, as after a return: on to its end.
            from = kind === 'over' || kind === 'into' ? place : from;
        }
    }

    private anywhere(address: bigint): TemporaryBreakpoint {
        return { address, hits: other => other === this.vcpu };
    }

    /** Lets others have their turn now and then. */
    private async mustPause(): Promise<boolean> {
        if (++this.steps % STEPS_PER_SLICE === 0) {
            await this.host.yield();
        }
        return this.host.isPauseRequested() || !this.host.isActive(this.vcpu);
    }
}

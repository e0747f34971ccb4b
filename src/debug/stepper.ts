/** Steps of one instruction, over what an instruction calls, and out of a function. */
import type { Cpu } from '../machine/cpu/cpu';
import { type RunStop, WATCH_STOP } from '../machine/engine';
import type { RunLoop } from '../machine/run-loop';
import { type Instruction, RepeatPrefix } from '../isa/x86';
import { ActivityState, StateOffset } from '../machine/state';
import type { TemporaryBreakpoint } from './breakpoints';
import type { Disassembler } from './disassembler';
import { TargetError } from './errors';
import { codeView, programCounter, stackPointer, type Frame } from './stack';

/** How far above its old place the stack pointer may be on return: callees may pop their arguments. */
const MOST_ARGUMENTS = 1024n;

/** RFLAGS.IF (SDM Vol. 3, 2.3). */
const INTERRUPT_FLAG = 1 << 9;

/** Bit of `StateOffset.interruptShadow`: as after STI. */
const SHADOW_STI = 1;

/** Mnemonics that come back to the next instruction, as a rule. */
const CALLS: ReadonlySet<string> = new Set(['CALL', 'INT', 'INT3', 'INT1', 'INTO', 'SYSCALL', 'SYSENTER', 'HLT']);

export function isCall(instruction: Instruction | undefined): boolean {
    return instruction?.row.mnemonic === 'CALL';
}

/** RET, RETF, IRET… */
const RETURNS = /^(?:RETF?|IRETD?Q?|SYSRET|SYSEXIT)$/;

export function isReturn(instruction: Instruction | undefined): boolean {
    return instruction !== undefined && RETURNS.test(instruction.row.mnemonic);
}

/** What a step has to do. */
export type StepPlan =
    /** Execute one instruction. */
    | { readonly kind: 'single' }
    /** Run until the vCPU gets there. */
    | { readonly kind: 'until'; readonly breakpoint: TemporaryBreakpoint; readonly halted?: boolean }
    /** Execute instructions, and what they call, until a return takes the stack pointer above this. */
    | { readonly kind: 'untilReturn'; readonly stackPointer: bigint };

/** @throws TargetError if the vCPU executes nothing that could be stepped */
export function planStepInto(vcpu: number, cpu: Cpu): StepPlan {
    switch (cpu.activity) {
        case ActivityState.Active:
            return { kind: 'single' };
        case ActivityState.Halted:
            if ((cpu.systemFlags & INTERRUPT_FLAG) === 0) {
                throw new TargetError(
                    `vCPU ${vcpu} is halted with interrupts disabled (IF = 0): only an NMI, INIT or a reset wakes it`,
                );
            }
            // An interrupt will wake it: its handler returns to where the vCPU is.
            return { kind: 'until', breakpoint: comeBack(vcpu, cpu, programCounter(cpu)), halted: true };
        case ActivityState.WaitForSipi:
            throw new TargetError(`vCPU ${vcpu} executes nothing yet: it waits for a start-up IPI`);
        case ActivityState.Shutdown:
            throw new TargetError(`vCPU ${vcpu} is shut down after a triple fault: only a reset gets it going again`);
    }
}

/** @throws TargetError */
export function planStepOver(vcpu: number, cpu: Cpu, disassembler: Disassembler): StepPlan {
    const plan = planStepInto(vcpu, cpu);
    if (plan.kind !== 'single') {
        return plan;
    }
    const { address, instruction } = disassembler.at(programCounter(cpu), codeView(cpu));
    if (instruction === undefined || !returnsHere(instruction, cpu)) {
        return plan;
    }
    return { kind: 'until', breakpoint: comeBack(vcpu, cpu, address + BigInt(instruction.length)) };
}

/** @throws TargetError */
export function planStepOut(vcpu: number, cpu: Cpu, caller: Frame | undefined): StepPlan {
    const plan = planStepInto(vcpu, cpu);
    const isSure = caller !== undefined && caller.guessed !== true;
    if (plan.kind === 'single' && !isSure) {
        return { kind: 'untilReturn', stackPointer: stackPointer(cpu) };
    }
    if (!isSure) {
        return plan;
    }
    const { pc, stackPointer: floor } = caller;
    return { kind: 'until', breakpoint: returnTo(vcpu, cpu, pc, floor) };
}

function returnsHere({ row: { mnemonic }, repeat }: Instruction, cpu: Cpu): boolean {
    // A HLT that nothing ends is executed alone: the vCPU is then halted, which its next step tells.
    const sleepsForGood = mnemonic === 'HLT' && (cpu.systemFlags & INTERRUPT_FLAG) === 0;
    return (CALLS.has(mnemonic) && !sleepsForGood) || repeat !== RepeatPrefix.None;
}

/** Stops this vCPU at an address once its stack is back where it is now; deeper recursions pass. */
function comeBack(vcpu: number, cpu: Cpu, address: bigint): TemporaryBreakpoint {
    return returnTo(vcpu, cpu, address, stackPointer(cpu));
}

/**
 * Stops this vCPU at an address once its stack is where it was before a call.
 * @param floor the stack pointer before the call
 */
export function returnTo(vcpu: number, cpu: Cpu, address: bigint, floor: bigint): TemporaryBreakpoint {
    // Other processes may have the same code and stack addresses; a kernel changes address spaces on its way.
    const user = cpu.cpl === 3;
    const { cr3Lo, cr3Hi } = cpu;
    const isHere = (): boolean => !user || (cpu.cr3Lo === cr3Lo && cpu.cr3Hi === cr3Hi);
    return { address, hits: other => other === vcpu && isNear(cpu, floor) && isHere() };
}

function isNear(cpu: Cpu, floor: bigint): boolean {
    const now = stackPointer(cpu);
    return now >= floor && now <= floor + MOST_ARGUMENTS;
}

/**
 * Executes one instruction of a vCPU. Interrupts are held off the way STI does it, for one instruction, unless
 * `intoInterrupts`. A halted vCPU is not woken.
 */
export function executeSingle(loop: Pick<RunLoop, 'single'>, vcpu: number, cpu: Cpu, intoInterrupts: boolean): RunStop {
    const shadow = cpu.lo(StateOffset.interruptShadow);
    if (!intoInterrupts) {
        cpu.setLo(StateOffset.interruptShadow, shadow | SHADOW_STI);
    }
    const stop = loop.single(vcpu);
    if (stop.reason === 'breakpoint' && stop.id !== WATCH_STOP && !intoInterrupts) {
        // Nothing was executed: no shadow may stay behind that the guest has not cast.
        cpu.setLo(StateOffset.interruptShadow, shadow);
    }
    return stop;
}

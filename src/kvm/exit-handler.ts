/** What the exits of a vCPU ask for. */
import type { RunStop } from '../machine/engine';
import { MachineEventKind } from '../machine/observation/kinds';
import type { Cpu } from '../machine/cpu/cpu';
import { GuestFault } from '../machine/cpu/fault';
import { readMsr, writeMsr } from '../machine/cpu/msr';
import { ActivityState } from '../machine/state';
import { ExitReason, IoExit, MmioExit, MsrExit } from './abi';
import { decodeExit, explainExit, Suberror } from './exits';
import { EINTR } from './errors';
import { type KvmVcpu } from './vcpu';
import type { RunState, Outcome } from './run-state';
import type { DebugExits } from './debug-exits';

const MSR_TSC = 0x10;
const MSR_APIC_BASE = 0x1b;
const MSR_TSC_ADJUST = 0x3b;

export class ExitHandler {
    constructor(
        private readonly state: RunState,
        private readonly debug: DebugExits,
    ) {}

    /** Lets KVM finish the access that the last exit was about, and those that follow from it. */
    finish(vcpu: KvmVcpu): Outcome {
        let outcome: Outcome;
        while (vcpu.isUnfinished && outcome === undefined) {
            if (this.state.enter(vcpu, true) === EINTR) {
                break;
            }
            outcome = this.handle(vcpu);
        }
        return outcome;
    }

    /** Does what an exit asks for, and tells those who watch; returns what ends the run. */
    handle(vcpu: KvmVcpu): Outcome {
        const { observation } = vcpu.processor;
        if (observation === undefined) {
            return this.handleExit(vcpu);
        }
        if (observation.onEvent === undefined) {
            vcpu.transfer.saveRip(0);
        } else {
            this.state.copyShared(vcpu); // conditions may look at registers
        }
        observation.beginOperation(vcpu.cpu);
        try {
            return this.handleExit(vcpu);
        } finally {
            observation.endOperation();
        }
    }

    private handleExit(vcpu: KvmVcpu): Outcome {
        switch (vcpu.exitReason) {
            case ExitReason.Io:
                this.state.counts.io++;
                this.portAccess(vcpu);
                return undefined;
            case ExitReason.Mmio:
                this.state.counts.mmio++;
                this.memoryAccess(vcpu);
                return undefined;
            case ExitReason.X86Rdmsr:
            case ExitReason.X86Wrmsr:
                this.state.counts.msr++;
                this.msrAccess(vcpu);
                return undefined;
            case ExitReason.Hlt:
                this.state.counts.hlt++;
                return this.halt(vcpu);
            case ExitReason.IrqWindowOpen:
                this.state.counts.interruptWindow++;
                this.state.noteExit(vcpu, MachineEventKind.Other, ExitReason.IrqWindowOpen);
                return undefined;
            case ExitReason.SetTpr:
                this.state.counts.other++;
                this.state.noteExit(vcpu, MachineEventKind.Other, ExitReason.SetTpr);
                return undefined;
            case ExitReason.Intr:
                this.state.counts.interrupted++;
                this.state.noteExit(vcpu, MachineEventKind.Interrupted, 0);
                return { reason: 'budget' };
            case ExitReason.Debug:
                this.state.counts.debug++;
                return this.debug.debugExit(vcpu);
            case ExitReason.Shutdown:
                this.state.counts.other++;
                return this.shutDown(vcpu);
            case ExitReason.InternalError:
                this.state.counts.internalError++;
                return this.internalError(vcpu);
            default:
                this.state.counts.other++;
                return this.state.unusableExit(vcpu);
        }
    }

    private portAccess(vcpu: KvmVcpu): void {
        const { view, run, cpu } = vcpu;
        const size = view.getUint8(run + IoExit.size);
        const port = view.getUint16(run + IoExit.port, true);
        const count = view.getUint32(run + IoExit.count, true);
        const write = view.getUint8(run + IoExit.direction) === 1;
        let at = run + view.getUint32(run + IoExit.dataOffset, true);
        const { ports } = cpu.hooks;
        for (let index = 0; index < count; index++, at += size) {
            if (write) {
                ports.write(port, size, readSized(view, at, size));
            } else {
                writeSized(view, at, size, ports.read(port, size));
            }
        }
        vcpu.markUnfinished();
    }

    private memoryAccess(vcpu: KvmVcpu): void {
        const { view, run } = vcpu;
        const { memory } = this.state.options;
        const address =
            view.getUint32(run + MmioExit.address, true) +
            view.getUint32(run + MmioExit.address + 4, true) * 0x100000000;
        const length = view.getUint32(run + MmioExit.length, true);
        const write = view.getUint8(run + MmioExit.isWrite) !== 0;
        const data = run + MmioExit.data;
        for (let done = 0; done < length;) {
            const left = length - done;
            const size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            if (write) {
                memory.write(address + done, size, readSized(view, data + done, size));
            } else {
                writeSized(view, data + done, size, memory.read(address + done, size));
            }
            done += size;
        }
        vcpu.markUnfinished();
    }

    private msrAccess(vcpu: KvmVcpu): void {
        const { view, run, cpu } = vcpu;
        const { observation } = vcpu.processor;
        this.state.copyShared(vcpu);
        const index = view.getUint32(run + MsrExit.index, true);
        const data = run + MsrExit.data;
        let failed = false;
        try {
            if (vcpu.exitReason === ExitReason.X86Rdmsr) {
                readMsr(cpu, index, msrValue);
                view.setUint32(data, msrValue.lo, true);
                view.setUint32(data + 4, msrValue.hi, true);
                observation?.msrRead(cpu, index, msrValue.lo, msrValue.hi);
            } else {
                const lo = view.getUint32(data, true);
                const hi = view.getUint32(data + 4, true);
                const hasOld = readsMsr(cpu, index);
                const { lo: oldLo, hi: oldHi } = msrValue;
                writeMsr(cpu, index, lo, hi);
                observation?.msrWritten(cpu, index, hasOld, oldLo, oldHi, lo, hi);
                if (index === MSR_TSC || index === MSR_TSC_ADJUST) {
                    vcpu.tsc.join(cpu, true);
                }
                if (index === MSR_APIC_BASE) {
                    vcpu.markChanged();
                    vcpu.load();
                }
            }
        } catch (error) {
            if (!(error instanceof GuestFault)) throw error;
            failed = true;
        }
        view.setUint8(run + MsrExit.error, failed ? 1 : 0);
        vcpu.markUnfinished();
    }

    private halt(vcpu: KvmVcpu): Outcome {
        const { processor } = vcpu;
        if (this.debug.isPatchedHalt(vcpu)) {
            return this.debug.hitPatch(vcpu);
        }
        this.state.noteHalt(vcpu);
        // An interrupt that waits ends the HLT at once, if it may be taken: KVM says so.
        if (this.state.timed && (processor.nmiPending || (processor.interruptPending && vcpu.readyForInterrupt))) {
            return undefined;
        }
        return { reason: 'halted' };
    }

    private internalError(vcpu: KvmVcpu): Outcome {
        const exit = decodeExit(vcpu.view, vcpu.run);
        const problem = explainExit(exit);
        this.state.copyShared(vcpu);
        if (exit.kind === 'internalError') {
            this.state.noteExit(vcpu, MachineEventKind.InternalError, exit.suberror, exit.data[0]);
        }
        if (this.state.isAtBreakpoint(vcpu.cpu) || this.state.breakpoints.isPatchedTrap(vcpu.cpu)) {
            // A KVM without hardware beneath it cannot emulate the INT3 that stands here.
            return this.debug.hitPatch(vcpu);
        }
        const { executeElsewhere } = this.state.options;
        if (exit.kind !== 'internalError' || exit.suberror !== Suberror.Emulation || executeElsewhere === undefined) {
            return { reason: 'failed', problem };
        }
        const stop = this.state.elsewhere(vcpu);
        if (stop === undefined) {
            return { reason: 'failed', problem };
        }
        this.state.counts.executedElsewhere++;
        return stop.reason === 'breakpoint' || stop.reason === 'shutdown' ? stop : { reason: 'budget' };
    }

    /**
     * A triple fault. KVM does not tell how it came about; the exceptions come again where the instruction is executed
     * again, since nothing of it has been done.
     */
    private shutDown(vcpu: KvmVcpu): RunStop {
        const { cpu } = vcpu;
        this.state.copyShared(vcpu);
        this.state.bringBack(vcpu);
        const bytes = cpu.bytes.slice();
        const stop = this.state.elsewhere(vcpu);
        if (stop?.reason !== 'shutdown' && stop?.reason !== 'breakpoint') {
            // The exceptions have gone elsewhere; some hosts reset the vCPU first.
            cpu.bytes.set(bytes);
            cpu.activity = ActivityState.Shutdown;
            cpu.stateReplaced();
            vcpu.takeBack();
            return { reason: 'shutdown' };
        }
        return stop;
    }
}

const msrValue = { lo: 0, hi: 0 };

/** Whether an MSR can be read; {@link msrValue} is what it holds then. */
function readsMsr(cpu: Cpu, index: number): boolean {
    try {
        readMsr(cpu, index, msrValue);
        return true;
    } catch (error) {
        if (!(error instanceof GuestFault)) throw error;
        return false;
    }
}

function readSized(view: DataView, at: number, size: number): number {
    return size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function writeSized(view: DataView, at: number, size: number, value: number): void {
    if (size === 1) view.setUint8(at, value);
    else if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
}

/**
 * Breakpoints at the instruction that a vCPU is about to execute: which of them stop it, and that those it has been
 * stopped at let it go on once.
 */
import type { Cpu } from '../../machine/cpu/cpu';
import { GuestFault } from '../../machine/cpu/fault';
import { Gpr } from '../../isa/x86/instruction';
import { StateOffset } from '../../machine/state';
import { Verdict } from '../codegen/breakpoint-check';
import type { KnownCode } from './known-code';

/** Where a vCPU goes on from: the breakpoints there have had their say. */
interface Departure {
    readonly ripLo: number;
    readonly ripHi: number;
    readonly rspLo: number;
    readonly rspHi: number;
}

export class BreakpointStops {
    /** By vCPU: the instruction that breakpoints do not hold up once more. */
    private readonly departures: (Departure | undefined)[] = [];

    constructor(private readonly code: KnownCode) {}

    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there: its user has seen it. */
    pass(vcpu: number, cpu: Cpu): void {
        this.departures[vcpu] = {
            ripLo: cpu.ripLo,
            ripHi: cpu.ripHi,
            rspLo: cpu.lo(StateOffset.gpr + 8 * Gpr.Rsp),
            rspHi: cpu.hi(StateOffset.gpr + 8 * Gpr.Rsp),
        };
    }

    /** Takes {@link pass} back: the vCPU has gone on from there, or may be elsewhere. */
    passNothing(vcpu: number): void {
        this.departures[vcpu] = undefined;
    }

    /** Whether the vCPU goes on from here after it was stopped; it does so once. */
    departs(vcpu: number, cpu: Cpu): boolean {
        const departure = this.departures[vcpu];
        if (
            departure === undefined ||
            departure.ripLo !== cpu.ripLo ||
            departure.ripHi !== cpu.ripHi ||
            // The way back to the instruction may lead through interrupt handlers, but none that are still running.
            departure.rspLo !== cpu.lo(StateOffset.gpr + 8 * Gpr.Rsp) ||
            departure.rspHi !== cpu.hi(StateOffset.gpr + 8 * Gpr.Rsp)
        ) {
            return false;
        }
        this.departures[vcpu] = undefined;
        return true;
    }

    /** The breakpoint that stops the vCPU at RIP, whose condition holds. To be asked once before an instruction. */
    find(vcpu: number, cpu: Cpu): number | undefined {
        if (this.code.breakpoints.isEmpty || this.departs(vcpu, cpu)) {
            return undefined;
        }
        let physical: number;
        try {
            physical = this.code.fetcher.physical(cpu);
        } catch (error) {
            if (error instanceof GuestFault) {
                return undefined; // whoever executes the instruction delivers it
            }
            throw error;
        }
        return this.ask(vcpu, cpu, physical, false);
    }

    /**
     * Asks the breakpoints at the instruction that was last fetched. One that stops the vCPU lets it go on next time.
     * @param checked whether translated code has checked them already
     * @returns its id
     */
    ask(vcpu: number, cpu: Cpu, physical: number, checked: boolean): number | undefined {
        const { breakpoints, fetcher } = this.code;
        let id: number | undefined;
        for (const entry of breakpoints.at(fetcher.linearLo, fetcher.linearHi, physical)) {
            const verdict = checked ? breakpoints.verdict(entry) : Verdict.Unknown;
            const { breakpoint } = entry;
            if (verdict !== Verdict.No && breakpoint.condition?.(vcpu, verdict === Verdict.Yes) !== false) {
                id ??= breakpoint.id;
            }
        }
        if (id !== undefined) {
            this.pass(vcpu, cpu);
        }
        return id;
    }
}

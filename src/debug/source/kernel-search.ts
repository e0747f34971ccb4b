/**
 * When to look for what a kernel tells of itself: not before there can be one, and seldom where there is none, since a
 * search goes through megabytes of memory.
 */
import { StateOffset } from '../../machine/state';
import { isInImage } from '../../symbols/kernel-range';
import type { ProgramSet } from '../../symbols/program';
import type { InspectionSource } from '../inspection-source';
import { programCounter } from '../stack';
import type { VcpuView } from '../vcpu-view';
import type { DiscoveredKernel, KernelDiscovery } from './discovered-kernel';

/** A failed search is followed by another one after this part of all instructions so far, but not before so many. */
const PATIENCE = 0.5;
const LEAST_DISTANCE = 10_000;

export class KernelSearch {
    kernel: DiscoveredKernel | undefined;
    private nextAt = 0;

    constructor(
        private readonly discovery: KernelDiscovery | undefined,
        private readonly views: readonly VcpuView[],
        private readonly programs: ProgramSet,
        private readonly inspection: ((vcpu: number) => InspectionSource) | undefined,
    ) {}

    get isSearching(): boolean {
        return this.kernel === undefined && this.isWanted;
    }

    /** A kernel's symbol file tells more. */
    private get isWanted(): boolean {
        return (
            this.discovery !== undefined &&
            this.inspection !== undefined &&
            !this.programs.programs.some(program => program.isLinux() && program.info.isPresent)
        );
    }

    /** Whether {@link kernel} has become known. */
    look(): boolean {
        if (!this.isSearching) {
            return false;
        }
        // Kernel code executes where the kernel has mapped itself, which it does in one piece; later SYSCALL leads there.
        const vcpu = this.views.findIndex(
            ({ cpu }) => cpu.longMode && (isInImage(programCounter(cpu)) || isInImage(cpu.get64(StateOffset.lstar))),
        );
        const retired = this.views[0].cpu.hooks.retired();
        if (vcpu < 0 || retired < this.nextAt) {
            return false;
        }
        this.kernel = this.discovery!.discover(this.inspection!(vcpu));
        this.nextAt = retired + Math.max(LEAST_DISTANCE, retired * PATIENCE);
        return this.kernel !== undefined;
    }

    /** Which kernel runs, for the user, whether anything else of it is wanted or not. */
    get identity(): string | undefined {
        return this.kernel?.identity ?? (this.inspection && this.discovery?.discover(this.inspection(0)))?.identity;
    }

    /** The guest begins anew. */
    restart(): void {
        this.kernel = undefined;
        this.nextAt = 0;
        this.discovery?.restart();
    }
}

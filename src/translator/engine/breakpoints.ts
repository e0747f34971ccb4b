/** Code breakpoints by linear address. They begin blocks and stay out of the jump cache, so other code pays nothing. */

export interface Breakpoint {
    readonly id: number;
    /** Linear address, as two unsigned halves. */
    readonly lo: number;
    readonly hi: number;
    /** Stops only if this holds; called with the vCPU's number before the instruction runs. */
    readonly condition?: (vcpu: number) => boolean;
}

export class Breakpoints {
    private readonly byLow = new Map<number, Breakpoint[]>();

    get isEmpty(): boolean {
        return this.byLow.size === 0;
    }

    at(lo: number, hi: number): Breakpoint | undefined {
        return this.byLow.get(lo)?.find(breakpoint => breakpoint.hi === hi);
    }

    replace(breakpoints: readonly Breakpoint[]): void {
        this.byLow.clear();
        for (const breakpoint of breakpoints) {
            const list = this.byLow.get(breakpoint.lo);
            if (list === undefined) {
                this.byLow.set(breakpoint.lo, [breakpoint]);
            } else {
                list.push(breakpoint);
            }
        }
    }
}

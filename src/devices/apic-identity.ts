/**
 * Who a local APIC is: its mode (disabled, xAPIC, x2APIC), where its page lies, and which destinations mean it.
 *
 * Intel SDM Vol. 3A, chapter "Advanced Programmable Interrupt Controller (APIC)": "Enabling or Disabling the Local APIC",
 * "Local APIC Status and Location", "Logical Destination Mode", "x2APIC State Transitions", "Deriving Logical x2APIC ID
 * from the Local x2APIC ID".
 */

import { BROADCAST, matchesX2ApicLogicalId, matchesXApicLogicalId } from './apic-bus';
import { type StateValue } from './device';
import { BaseMsr } from './local-apic-registers';
import { type StateReader } from './state-reader';

const DEFAULT_BASE = 0xfee0_0000;

/** What a write to IA32_APIC_BASE did. */
export const enum BaseWrite {
    Faulted,
    Accepted,
    /** Accepted, and it turned the APIC off, which forgets its registers. */
    Disabled,
}

export class ApicIdentity {
    /** IA32_APIC_BASE, bits 31:0 and 63:32. */
    baseLow = 0;
    baseHigh = 0;
    /** Logical destination register; fixed in x2APIC mode. */
    ldr = 0;
    /** Destination format register. */
    dfr = 0xffff_ffff;
    /** The 8-bit ID of xAPIC mode, which software may change. */
    xapicId = 0;

    /** @param initialId the x2APIC ID, given at power-up */
    constructor(
        private readonly initialId: number,
        private readonly isBootstrap: boolean,
        private readonly physicalAddressBits: number,
    ) {
        this.reset();
    }

    reset(): void {
        this.baseLow = DEFAULT_BASE + BaseMsr.Enabled + (this.isBootstrap ? BaseMsr.Bootstrap : 0);
        this.baseHigh = 0;
        this.xapicId = this.initialId & 0xff;
        this.ldr = 0;
        this.dfr = 0xffff_ffff;
    }

    /** INIT leaves the APIC ID and the mode alone, hence also the logical x2APIC ID. */
    initReset(): void {
        this.ldr = this.x2apic ? this.ldr : 0;
        this.dfr = 0xffff_ffff;
    }

    get bootstrap(): boolean {
        return (this.baseLow & BaseMsr.Bootstrap) !== 0;
    }

    get enabled(): boolean {
        return (this.baseLow & BaseMsr.Enabled) !== 0;
    }

    get x2apic(): boolean {
        return (this.baseLow & BaseMsr.X2Apic) !== 0;
    }

    /** Physical address of the MMIO page. */
    get baseAddress(): number {
        return this.baseHigh * 2 ** 32 + (this.baseLow - (this.baseLow & 0xfff));
    }

    get id(): number {
        return this.x2apic ? this.initialId : this.xapicId;
    }

    matchesPhysical(destination: number): boolean {
        return this.enabled && (destination === BROADCAST || destination === this.id);
    }

    matchesLogical(destination: number): boolean {
        if (!this.enabled || destination === BROADCAST) {
            return this.enabled;
        }
        return this.x2apic
            ? matchesX2ApicLogicalId(destination, this.ldr)
            : matchesXApicLogicalId(destination, this.ldr, this.dfr);
    }

    /** IA32_APIC_BASE and the transitions that it allows between disabled, xAPIC and x2APIC mode. */
    writeBase(low: number, high: number): BaseWrite {
        const enable = (low & BaseMsr.Enabled) !== 0;
        const extend = (low & BaseMsr.X2Apic) !== 0;
        const { enabled: wasEnabled, x2apic: wasX2Apic } = this;
        const beyond = high >= 2 ** (this.physicalAddressBits - 32);
        const forbidden = extend ? !enable || !wasEnabled : wasX2Apic && enable;
        if ((low & BaseMsr.Reserved) !== 0 || beyond || forbidden) {
            return BaseWrite.Faulted;
        }
        this.baseLow = low;
        this.baseHigh = high;
        if (extend && !wasX2Apic) {
            // The cluster above, one bit of sixteen below.
            this.ldr = (((this.initialId >>> 4) << 16) | (1 << (this.initialId & 15))) >>> 0;
        }
        if (!wasEnabled || enable) {
            return BaseWrite.Accepted;
        }
        // Enabled again, it is as after power-up (SDM Vol. 3, 10.4.3), the ID that software may have changed included.
        this.xapicId = this.initialId & 0xff;
        return BaseWrite.Disabled;
    }

    saveState(): { readonly [field: string]: StateValue } {
        return {
            baseLow: this.baseLow,
            baseHigh: this.baseHigh,
            xapicId: this.xapicId,
            ldr: this.ldr,
            dfr: this.dfr,
        };
    }

    restoreState(state: StateReader): void {
        this.baseLow = state.u32('baseLow');
        this.baseHigh = state.u32('baseHigh');
        this.xapicId = state.u8('xapicId');
        this.ldr = state.u32('ldr');
        this.dfr = state.u32('dfr');
    }
}

/**
 * The interrupt message bus between local APICs, IOAPICs and message-signalled sources: who receives what.
 *
 * Intel SDM Vol. 3A, chapter "Advanced Programmable Interrupt Controller": "Determining IPI Destination" (physical,
 * logical, shorthand), "Interrupt Distribution Mechanisms" (lowest priority), "Message Signalled Interrupts".
 *
 * new ApicBus()
 *   attach(target): a local APIC, in the order of the processors; attachIoApic(listener)
 *   sendMsi(address, data): for devices with MSI or MSI-X
 */

/** Delivery mode of an interrupt message, as in the ICR, LVT and redirection entries. */
export const enum DeliveryMode {
    Fixed,
    LowestPriority,
    Smi,
    Reserved,
    Nmi,
    Init,
    StartUp,
    ExtInt,
}

/**
 * Destination that every APIC matches. Senders with an 8-bit destination field widen FFH to this, because to an x2APIC
 * FFH is one processor.
 */
export const BROADCAST = 0xffff_ffff;

/** Widens an 8-bit destination field. */
export function widenDestination(destination: number): number {
    return destination === 0xff ? BROADCAST : destination;
}

/** Whether an xAPIC with this LDR and DFR is in an 8-bit logical destination: the flat or the cluster model. */
export function matchesXApicLogicalId(destination: number, ldr: number, dfr: number): boolean {
    const logicalId = ldr >>> 24;
    if (destination > 0xff) {
        return false;
    }
    if (dfr >>> 28 === 0xf) {
        return (destination & logicalId) !== 0;
    }
    return destination >>> 4 === logicalId >>> 4 && (destination & logicalId & 15) !== 0;
}

/** Whether an x2APIC with this logical ID is in a 32-bit logical destination. */
export function matchesX2ApicLogicalId(destination: number, ldr: number): boolean {
    return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0;
}

/** A local APIC as the bus sees it. */
export interface ApicTarget {
    /** `destination` is 32 bits wide. */
    matchesPhysical(destination: number): boolean;
    matchesLogical(destination: number): boolean;
    /** Whether it takes vectors, and part in the arbitration for a lowest-priority interrupt. */
    readonly acceptsInterrupts: boolean;
    /** Processor priority, for that arbitration. */
    readonly arbitrationPriority: number;
    receive(mode: DeliveryMode, vector: number, levelTriggered: boolean): void;
}

/** An IOAPIC: hears the end of level-triggered interrupts. */
export interface EoiListener {
    endOfInterrupt(vector: number): void;
}

export class ApicBus {
    private readonly targets: ApicTarget[] = [];
    private readonly ioApics: EoiListener[] = [];

    attach(target: ApicTarget): void {
        this.targets.push(target);
    }

    attachIoApic(listener: EoiListener): void {
        this.ioApics.push(listener);
    }

    /** Sends to a destination. Returns whether anyone accepted it. */
    send(destination: number, logical: boolean, mode: DeliveryMode, vector: number, levelTriggered: boolean): boolean {
        let winner: ApicTarget | undefined;
        let received = false;
        for (const target of this.targets) {
            if (!(logical ? target.matchesLogical(destination) : target.matchesPhysical(destination))) {
                continue;
            }
            if (mode === DeliveryMode.LowestPriority) {
                winner = lower(winner, target);
            } else {
                received ||= mode !== DeliveryMode.Fixed || target.acceptsInterrupts;
                target.receive(mode, vector, levelTriggered);
            }
        }
        winner?.receive(mode, vector, levelTriggered);
        return received || winner !== undefined;
    }

    /** Sends to all APICs, or to all but `except`: the destination shorthands of the ICR. */
    sendToAll(except: ApicTarget | undefined, mode: DeliveryMode, vector: number): void {
        let winner: ApicTarget | undefined;
        for (const target of this.targets) {
            // Nothing reaches a processor whose local APIC is disabled.
            if (target === except || !target.matchesPhysical(BROADCAST)) {
                continue;
            }
            if (mode === DeliveryMode.LowestPriority) {
                winner = lower(winner, target);
            } else {
                target.receive(mode, vector, false);
            }
        }
        winner?.receive(mode, vector, false);
    }

    /** A memory write to FEEx_xxxxH by a device: a message-signalled interrupt. */
    sendMsi(address: number, data: number): boolean {
        const destination = widenDestination((address >>> 12) & 0xff);
        const logical = (address & 0x04) !== 0;
        const level = (data & 0x8000) !== 0;
        if (level && (data & 0x4000) === 0) {
            return false; // a level message that deasserts: nothing to deliver
        }
        const mode: DeliveryMode = (data >>> 8) & 7;
        // The redirection hint picks one of a logical destination, as lowest priority does by itself.
        const redirected = logical && (address & 0x08) !== 0 && mode === DeliveryMode.Fixed;
        return this.send(destination, logical, redirected ? DeliveryMode.LowestPriority : mode, data & 0xff, level);
    }

    /** Tells the IOAPICs that a processor finished a level-triggered interrupt. */
    broadcastEoi(vector: number): void {
        for (const ioApic of this.ioApics) {
            ioApic.endOfInterrupt(vector);
        }
    }
}

const enum Icr {
    Logical = 1 << 11,
    Assert = 1 << 14,
    LevelTriggered = 1 << 15,
}

/** Sends what the low half of an interrupt command register says. IPIs are edge triggered since the Pentium 4. */
export function sendIpi(bus: ApicBus, sender: ApicTarget, icrLow: number, destination: number): void {
    const vector = icrLow & 0xff;
    const mode: DeliveryMode = (icrLow >>> 8) & 7;
    if (mode === DeliveryMode.Reserved || mode === DeliveryMode.ExtInt) {
        return;
    }
    if (mode === DeliveryMode.Init && (icrLow & (Icr.Assert | Icr.LevelTriggered)) === Icr.LevelTriggered) {
        return; // INIT level de-assert: it only set the arbitration IDs of the Pentium and P6
    }
    switch ((icrLow >>> 18) & 3) {
        case 0:
            bus.send(destination, (icrLow & Icr.Logical) !== 0, mode, vector, false);
            break;
        case 1:
            if (mode === DeliveryMode.Fixed || mode === DeliveryMode.Nmi) {
                sender.receive(mode, vector, false);
            }
            break;
        case 2:
            bus.sendToAll(undefined, mode, vector);
            break;
        default:
            bus.sendToAll(sender, mode, vector);
    }
}

/** The better candidate for a lowest-priority interrupt; ties go to the processor that was attached first. */
function lower(best: ApicTarget | undefined, target: ApicTarget): ApicTarget | undefined {
    if (!target.acceptsInterrupts) {
        return best;
    }
    return best === undefined || target.arbitrationPriority < best.arbitrationPriority ? target : best;
}

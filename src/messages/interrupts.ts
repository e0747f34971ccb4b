/**
 * The Interrupts view.
 *
 * `hyperscope/interrupts` {@link InterruptsArguments} → {@link InterruptsBody}
 */
import type { Hex } from './common';

export type InterruptsArguments = Readonly<Record<string, never>>;

export interface InterruptsBody {
    /** Absent where the target does not show its controllers. */
    readonly pic?: readonly PicItem[];
    readonly ioApics: readonly IoApicItem[];
    readonly processors: readonly ProcessorInterrupts[];
    /** Why there are no controllers to be seen. */
    readonly problem?: string;
}

/** One 8259A. */
export interface PicItem {
    readonly name: 'master' | 'slave';
    /** Masks of IR0–IR7. */
    readonly irr: number;
    readonly isr: number;
    readonly imr: number;
    readonly elcr: number;
    /** Levels of the inputs. */
    readonly pins: number;
    readonly vectorBase: number;
    readonly highestPriority: number;
    /** `8086 mode, automatic EOI`. */
    readonly mode: string;
    readonly inputs: readonly PicInput[];
    /** INT is asserted. */
    readonly requesting: boolean;
}

export interface PicInput {
    readonly ir: number;
    readonly vector: number;
    readonly pending: boolean;
    readonly inService: boolean;
    readonly masked: boolean;
    readonly level: boolean;
    /** What is wired to it: `timer`, `serial0`, `cascade`. */
    readonly source?: string;
}

export interface IoApicItem {
    readonly name: string;
    readonly id: number;
    readonly pins: readonly RedirectionEntry[];
}

export interface RedirectionEntry {
    readonly pin: number;
    readonly value: Hex;
    readonly vector: number;
    /** `fixed`, `lowest priority`, `NMI`, `ExtINT`… */
    readonly deliveryMode: string;
    readonly destinationMode: 'physical' | 'logical';
    readonly destination: number;
    readonly trigger: 'edge' | 'level';
    readonly polarity: 'high' | 'low';
    readonly masked: boolean;
    readonly remoteIrr: boolean;
    /** The input is asserted. */
    readonly asserted: boolean;
    readonly source?: string;
    readonly text: string;
}

export interface ProcessorInterrupts {
    readonly vcpu: number;
    readonly activity: 'active' | 'halted' | 'waits for SIPI' | 'shut down';
    /** RFLAGS.IF. */
    readonly interruptsEnabled: boolean;
    /** `STI`, `MOV SS`: the next instruction runs first. */
    readonly shadow?: string;
    readonly nmi: { readonly pending: boolean; readonly blocked: boolean };
    readonly apic?: LocalApicItem;
    /** In service, the one being handled first. */
    readonly inService: readonly VectorItem[];
    /** Requested and not delivered yet, most urgent first. */
    readonly pending: readonly PendingInterrupt[];
    /** What the vCPU would take now, if nothing forbids it. */
    readonly next?: { readonly kind: 'nmi' | 'apic' | 'pic'; readonly vector: number; readonly symbol?: string };
    /** `vector 0xec would be delivered now`, `0x31 waits: RFLAGS.IF is clear`. */
    readonly text: string;
}

export interface VectorItem {
    readonly vector: number;
    readonly levelTriggered: boolean;
    /** Its handler, if the IDT names one with a symbol. */
    readonly symbol?: string;
}

export interface PendingInterrupt extends VectorItem {
    /** Why it waits; absent for what would be delivered now. */
    readonly waitsFor?: string;
}

export interface LocalApicItem {
    readonly id: number;
    readonly base: Hex;
    readonly mode: 'disabled' | 'xAPIC' | 'x2APIC';
    readonly bootstrap: boolean;
    readonly softwareEnabled: boolean;
    readonly tpr: number;
    readonly ppr: number;
    readonly spuriousVector: number;
    /** Vectors, ascending. */
    readonly irr: readonly number[];
    readonly isr: readonly number[];
    readonly tmr: readonly number[];
    readonly errors: number;
    readonly icr: { readonly value: Hex; readonly text: string };
    readonly lvt: readonly LvtItem[];
    readonly timer: {
        /** `one-shot`, `periodic`, `TSC deadline`. */
        readonly mode: string;
        readonly initialCount: number;
        readonly currentCount: number;
        readonly divideBy: number;
        readonly deadline: Hex;
    };
}

export interface LvtItem {
    /** `timer`, `thermal`, `performance`, `LINT0`, `LINT1`, `error`. */
    readonly name: string;
    readonly value: Hex;
    readonly vector: number;
    readonly masked: boolean;
    readonly text: string;
}

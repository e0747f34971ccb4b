/** Interrupt controllers, what waits in them, and what each vCPU would take next, or why not. */
import type { InspectionSource } from '../debug/inspection-source';
import { systemState } from '../debug/machine-inspection';
import { DELIVERY_MODE_NAMES, describeIcr, describeLvt, LVT_NAMES, TIMER_MODES } from '../devices/local-apic-inspect';
import type { IoApic } from '../devices/ioapic';
import type { LocalApic } from '../devices/local-apic';
import type { PicPair } from '../devices/pic-pair';
import { BoardMap } from '../machine/board/board-map';
import { interruptsOpen, nmiOpen } from '../machine/cpu/interrupts';
import type { Machine } from '../machine/machine';
import type { Processor } from '../machine/processor';
import { Flag, StateOffset } from '../machine/state';
import type {
    InterruptsBody,
    IoApicItem,
    LocalApicItem,
    PendingInterrupt,
    PicItem,
    ProcessorInterrupts,
} from '../messages/interrupts';
import { handlerSymbol } from './descriptors/handler';
import { hex } from './hex';

const NMI_VECTOR = 2;
const ACTIVITIES = ['active', 'halted', 'waits for SIPI', 'shut down'] as const;

export function viewInterrupts(source: InspectionSource): InterruptsBody {
    const { machine } = source;
    if (machine === undefined) {
        return {
            ioApics: [],
            processors: [],
            problem: 'interrupt controllers can be seen only in a machine that Hyperscope itself runs',
        };
    }
    const sources = irqSources(machine);
    return {
        pic: viewPic(machine.board.pic, sources),
        ioApics: [viewIoApic(machine.board.ioApic, sources)],
        processors: machine.processors.map(processor => viewProcessor(source, machine, processor)),
    };
}

/** What is wired to the ISA interrupts. */
function irqSources(machine: Machine): ReadonlyMap<number, string> {
    const names = new Map<number, string>([
        [0, 'timer (PIT)'],
        [1, 'keyboard'],
        [8, 'real-time clock'],
        [BoardMap.sci, 'ACPI (SCI)'],
        [12, 'mouse'],
    ]);
    machine.board.uarts.forEach(({ name }, index) => names.set(BoardMap.serial[index].irq, name));
    for (const irq of BoardMap.pciIrqs) names.set(irq, 'PCI');
    return names;
}

function viewPic(pic: PicPair, sources: ReadonlyMap<number, string>): PicItem[] {
    return pic.snapshot().map((chip, index) => ({
        name: index === 0 ? 'master' : 'slave',
        irr: chip.irr,
        isr: chip.isr,
        imr: chip.imr,
        elcr: chip.elcr,
        pins: chip.pins,
        vectorBase: chip.vectorBase,
        highestPriority: chip.highestPriority,
        mode: chip.mode,
        requesting: chip.requesting,
        inputs: Array.from({ length: 8 }, (_, ir) => {
            const bit = 1 << ir;
            return {
                ir,
                vector: chip.vectorBase + ir,
                pending: (chip.irr & bit) !== 0,
                inService: (chip.isr & bit) !== 0,
                masked: (chip.imr & bit) !== 0,
                level: (chip.level & bit) !== 0,
                source: index === 0 && ir === 2 ? 'cascade' : sources.get(8 * index + ir),
            };
        }),
    }));
}

function viewIoApic(ioApic: IoApic, sources: ReadonlyMap<number, string>): IoApicItem {
    const { id, pins } = ioApic.snapshot();
    return {
        name: ioApic.name,
        id,
        pins: pins.map(({ low, high, asserted, text }, pin) => ({
            pin,
            value: hex((BigInt(high) << 32n) | BigInt(low)),
            vector: low & 0xff,
            deliveryMode: DELIVERY_MODE_NAMES[(low >>> 8) & 7],
            destinationMode: (low & 0x800) !== 0 ? 'logical' : 'physical',
            destination: high >>> 24,
            trigger: (low & 0x8000) !== 0 ? 'level' : 'edge',
            polarity: (low & 0x2000) !== 0 ? 'low' : 'high',
            masked: (low & 0x10000) !== 0,
            remoteIrr: (low & 0x4000) !== 0,
            asserted,
            source: pin === 0 ? 'PIC' : sources.get(pin === BoardMap.timerPin ? 0 : pin),
            text,
        })),
    };
}

function viewApic(apic: LocalApic): LocalApicItem {
    const { identity, icrLow, icrHigh, interrupts, timer } = apic.view;
    const { tpr, irr, isr, tmr, esr, svr, lvt } = interrupts;
    const divide = timer.divideConfiguration;
    return {
        id: identity.id,
        base: hex((BigInt(identity.baseHigh) << 32n) | BigInt((identity.baseLow & 0xfffff000) >>> 0)),
        mode: !apic.enabled ? 'disabled' : apic.x2apic ? 'x2APIC' : 'xAPIC',
        bootstrap: apic.bootstrap,
        softwareEnabled: interrupts.softwareEnabled,
        tpr,
        ppr: interrupts.processorPriority(),
        spuriousVector: svr & 0xff,
        irr: irr.members(),
        isr: isr.members(),
        tmr: tmr.members(),
        errors: esr,
        icr: {
            value: hex((BigInt(icrHigh >>> 0) << 32n) | BigInt(icrLow >>> 0)),
            text: describeIcr(icrLow, icrHigh, apic.x2apic),
        },
        lvt: LVT_NAMES.map((name, index) => ({
            name,
            value: hex(lvt[index]),
            vector: lvt[index] & 0xff,
            masked: (lvt[index] & 0x10000) !== 0,
            text: describeLvt(index, lvt[index]),
        })),
        timer: {
            mode: TIMER_MODES[(lvt[0] >>> 17) & 3],
            initialCount: timer.initialCount,
            currentCount: timer.currentCount,
            // Bits 3, 1 and 0: 0 divides by 2, 7 by 1 (SDM Vol. 3, figure 10-10).
            divideBy: 2 ** ((((divide & 8) >> 1) | (divide & 3)) + 1) % 256 || 1,
            deadline: hex((BigInt(timer.deadlineHigh >>> 0) << 32n) | BigInt(timer.deadlineLow >>> 0)),
        },
    };
}

/** What keeps maskable interrupts from the vCPU. */
function blockedBy({ cpu }: Processor): string | undefined {
    if ((cpu.rflags & Flag.IF) === 0) return 'RFLAGS.IF is clear';
    return interruptsOpen(cpu)
        ? undefined
        : `${shadowOf(cpu.lo(StateOffset.interruptShadow)) ?? 'an instruction'} holds it off for one instruction`;
}

function shadowOf(shadow: number): string | undefined {
    return shadow === 0 ? undefined : (shadow & 2) !== 0 ? 'MOV SS' : 'STI';
}

function viewProcessor(source: InspectionSource, machine: Machine, processor: Processor): ProcessorInterrupts {
    const { cpu, apic, index: vcpu } = processor;
    const own: InspectionSource = {
        vcpu,
        vcpus: source.vcpus,
        system: systemState(cpu),
        page: physical => source.page(physical),
        regions: source.regions,
        symbol: linear => source.symbol(linear),
        machine,
    };
    const { interrupts } = apic.view;
    const activity = ACTIVITIES[cpu.activity] ?? 'active';
    const runs = activity === 'active' || activity === 'halted';
    const symbols = (vector: number): string | undefined => handlerSymbol(own, vector);
    const external = apic.extIntPending ? machine.board.pic.nextVector() : undefined;
    const nmi = { pending: processor.nmiPending, blocked: cpu.lo(StateOffset.nmiBlocked) !== 0 };
    const blocked = runs ? blockedBy(processor) : activity;
    const ppr = interrupts.processorPriority();
    const takesNmi = runs && nmi.pending && nmiOpen(cpu);
    const waiting = interrupts.irr.members().reverse();
    const pending = waiting.map((vector, position): PendingInterrupt => {
        const low = (vector & 0xf0) <= (ppr & 0xf0);
        const reason = low
            ? `its priority class ${vector >> 4} is not above ${ppr >> 4}, ${priorityOf(interrupts.tpr, ppr)}`
            : (blocked ??
              (takesNmi ? 'the NMI goes first' : external !== undefined ? 'the PIC goes first' : undefined) ??
              (position > 0 ? `${hex(waiting[0])} goes first` : undefined));
        return { vector, levelTriggered: interrupts.tmr.has(vector), symbol: symbols(vector), waitsFor: reason };
    });
    const next = takesNmi
        ? ({ kind: 'nmi', vector: NMI_VECTOR } as const)
        : blocked !== undefined
          ? undefined
          : external !== undefined
            ? ({ kind: 'pic', vector: external } as const)
            : apic.pendingVector() >= 0
              ? ({ kind: 'apic', vector: apic.pendingVector() } as const)
              : undefined;
    return {
        vcpu,
        activity,
        interruptsEnabled: (cpu.rflags & Flag.IF) !== 0,
        shadow: shadowOf(cpu.lo(StateOffset.interruptShadow)),
        nmi,
        apic: viewApic(apic),
        inService: interrupts.isr
            .members()
            .reverse()
            .map(vector => ({ vector, levelTriggered: interrupts.tmr.has(vector), symbol: symbols(vector) })),
        pending,
        next: next && { ...next, symbol: symbols(next.vector) },
        text: describe(next, pending, external, nmi.pending, blocked),
    };
}

function priorityOf(tpr: number, ppr: number): string {
    return tpr === ppr ? 'the task priority (TPR)' : 'that of the interrupt in service';
}

function describe(
    next: { readonly kind: 'nmi' | 'apic' | 'pic'; readonly vector: number } | undefined,
    pending: readonly PendingInterrupt[],
    external: number | undefined,
    nmi: boolean,
    blocked: string | undefined,
): string {
    if (next !== undefined) {
        const from =
            next.kind === 'nmi' ? 'the NMI' : `vector ${hex(next.vector)}${next.kind === 'pic' ? ' of the PIC' : ''}`;
        return `${from} would be delivered now`;
    }
    if (nmi) {
        return `an NMI waits: ${blocked === undefined ? 'the one before has not returned (IRET)' : blocked}`;
    }
    if (external !== undefined && blocked !== undefined) {
        return `vector ${hex(external)} of the PIC waits: ${blocked}`;
    }
    const [first] = pending;
    return first === undefined ? 'nothing waits' : `vector ${hex(first.vector)} waits: ${first.waitsFor}`;
}

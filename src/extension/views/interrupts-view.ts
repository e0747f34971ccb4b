/** The Interrupts view: what each vCPU waits for or handles, its local APIC, the IOAPIC and the two PICs. */
import type { IoApicItem, LocalApicItem, PicItem, ProcessorInterrupts, VectorItem } from '../../messages/interrupts';
import { ask } from '../client';
import { hexByte } from '../format';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree } from '../guest-tree';

export class InterruptsView extends GuestTree {
    constructor(sessions: GuestSessions) {
        super('interrupts', sessions);
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        const { pic, ioApics, processors, problem } = await ask(guest, 'hyperscope/interrupts', {});
        return [
            ...(problem === undefined ? [] : [{ key: 'problem', label: problem, icon: 'info', unmarked: true }]),
            ...processors.map(processor => processorEntry(processor, processors.length === 1)),
            ...ioApics.map(ioApicEntry),
            ...(pic ?? []).map(picEntry),
        ];
    }
}

function processorEntry(processor: ProcessorInterrupts, alone: boolean): Entry {
    const { vcpu, activity, interruptsEnabled, shadow, nmi, apic, inService, pending, text } = processor;
    return {
        key: `vcpu${vcpu}`,
        label: `vCPU ${vcpu}`,
        value: activity === 'active' ? text : `${activity}; ${text}`,
        icon: 'chip',
        expanded: alone || vcpu === 0,
        children: [
            {
                key: 'if',
                label: 'Interrupts',
                value: `${interruptsEnabled ? 'enabled' : 'disabled'} (RFLAGS.IF)${shadow === undefined ? '' : `, after ${shadow} the next instruction runs first`}`,
            },
            {
                key: 'nmi',
                label: 'NMI',
                value: `${nmi.pending ? 'pending' : 'not pending'}${nmi.blocked ? ', blocked until IRET' : ''}`,
            },
            vectorsEntry('inService', 'In service', inService, () => ''),
            vectorsEntry('pending', 'Pending', pending, item =>
                item.waitsFor === undefined ? '' : `  ${item.waitsFor}`,
            ),
            ...(apic === undefined ? [] : [apicEntry(apic)]),
        ],
    };
}

function vectorsEntry<Item extends VectorItem>(
    key: string,
    label: string,
    items: readonly Item[],
    more: (item: Item) => string,
): Entry {
    return {
        key,
        label,
        value: items.length === 0 ? 'none' : items.map(({ vector }) => hexByte(vector)).join(' '),
        expanded: true,
        children:
            items.length === 0
                ? undefined
                : items.map(item => ({
                      key: String(item.vector),
                      label: hexByte(item.vector),
                      value: `${item.symbol ?? ''}${item.levelTriggered ? '  level' : ''}${more(item)}`,
                  })),
    };
}

function vectorList(vectors: readonly number[]): string {
    return vectors.length === 0 ? 'none' : vectors.map(hexByte).join(' ');
}

function apicEntry(apic: LocalApicItem): Entry {
    const { id, base, mode, softwareEnabled, tpr, ppr, spuriousVector, irr, isr, tmr, errors, icr, lvt, timer } = apic;
    return {
        key: 'apic',
        label: 'Local APIC',
        value: `${id} · ${mode}${softwareEnabled ? '' : ' · disabled by software'} · ${base}`,
        icon: 'circuit-board',
        target: { space: 'physical', address: base },
        children: [
            { key: 'tpr', label: 'Task priority', value: hexByte(tpr) },
            { key: 'ppr', label: 'Processor priority', value: hexByte(ppr) },
            { key: 'irr', label: 'Requested (IRR)', value: vectorList(irr) },
            { key: 'isr', label: 'In service (ISR)', value: vectorList(isr) },
            { key: 'tmr', label: 'Level triggered (TMR)', value: vectorList(tmr) },
            {
                key: 'timer',
                label: 'Timer',
                value:
                    `${timer.mode}, ${timer.currentCount} of ${timer.initialCount}, divided by ${timer.divideBy}` +
                    (BigInt(timer.deadline) === 0n ? '' : `, deadline ${timer.deadline}`),
            },
            {
                key: 'lvt',
                label: 'Local vector table',
                value:
                    lvt
                        .filter(({ masked }) => !masked)
                        .map(({ name }) => name)
                        .join(', ') || 'all masked',
                children: lvt.map(({ name, text, value }) => ({ key: name, label: name, value: text, tooltip: value })),
            },
            { key: 'icr', label: 'Interrupt command', value: icr.text, tooltip: icr.value },
            { key: 'svr', label: 'Spurious vector', value: hexByte(spuriousVector) },
            { key: 'esr', label: 'Errors', value: hexByte(errors) },
        ],
    };
}

function ioApicEntry({ name, id, pins }: IoApicItem): Entry {
    const open = pins.filter(({ masked }) => !masked).length;
    return {
        key: name,
        label: `IOAPIC ${id}`,
        value: `${open} of ${pins.length} pins open`,
        icon: 'circuit-board',
        children: pins.map(({ pin, text, source, asserted, remoteIrr, value }) => ({
            key: String(pin),
            label: `${pin}${source === undefined ? '' : ` ${source}`}`,
            value: `${text}${asserted ? '  asserted' : ''}${remoteIrr ? '  in service' : ''}`,
            tooltip: `pin ${pin}: ${value} ${text}`,
        })),
    };
}

function picEntry({ name, mode, inputs, vectorBase, requesting }: PicItem): Entry {
    return {
        key: name,
        label: `PIC ${name}`,
        value: `vectors from ${hexByte(vectorBase)}, ${mode}${requesting ? ', requesting' : ''}`,
        icon: 'circuit-board',
        children: inputs.map(({ ir, vector, pending, inService, masked, level, source }) => ({
            key: String(ir),
            label: `IR${ir}${source === undefined ? '' : ` ${source}`}`,
            value:
                [masked && 'masked', pending && 'pending', inService && 'in service', level && 'level']
                    .filter(Boolean)
                    .join(', ') || 'open',
            tooltip: `IR${ir}: vector ${hexByte(vector)}`,
        })),
    };
}

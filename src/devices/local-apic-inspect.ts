import { type ApicIdentity } from './apic-identity';
import { type ApicTimer } from './apic-timer';
import { type DeviceRegister } from './device';
import { type LocalApicInterrupts } from './local-apic-interrupts';
import { BaseMsr, Lvt, Register, Svr } from './local-apic-registers';
import { type VectorSet } from './vector-set';

/** The registers of a local APIC, for the Devices view. */
export interface LocalApicView {
    readonly identity: ApicIdentity;
    readonly icrLow: number;
    readonly icrHigh: number;
    readonly interrupts: LocalApicInterrupts;
    readonly timer: ApicTimer;
}

export const DELIVERY_MODE_NAMES = [
    'fixed',
    'lowest priority',
    'SMI',
    'reserved',
    'NMI',
    'INIT',
    'start-up',
    'ExtINT',
] as const;

export const LVT_NAMES = ['timer', 'thermal', 'performance', 'LINT0', 'LINT1', 'error'];
export const TIMER_MODES = ['one-shot', 'periodic', 'TSC deadline', 'reserved'];
const SHORTHANDS = ['', 'self', 'all including self', 'all excluding self'];

function hex(value: number): string {
    return `0x${value.toString(16)}`;
}

function vectors(set: VectorSet): string {
    const members = set.members();
    return members.length === 0 ? 'none' : members.map(hex).join(', ');
}

/** An entry of the local vector table in words; `index` counts from the timer's. */
export function describeLvt(index: number, entry: number): string {
    const mode =
        index === 0
            ? TIMER_MODES[(entry >>> 17) & 3]
            : index === Register.LvtError - Register.LvtTimer
              ? 'fixed'
              : DELIVERY_MODE_NAMES[(entry >>> 8) & 7];
    const parts = [mode, `vector ${hex(entry & 0xff)}`];
    if ((entry & Lvt.LevelTriggered) !== 0) {
        parts.push('level');
    }
    if ((entry & Lvt.RemoteIrr) !== 0) {
        parts.push('remote IRR');
    }
    if ((entry & Lvt.Masked) !== 0) {
        parts.push('masked');
    }
    return parts.join(', ');
}

/** The interrupt command register in words. */
export function describeIcr(low: number, high: number, x2apic: boolean): string {
    const shorthand = SHORTHANDS[(low >>> 18) & 3];
    const destination = x2apic ? high : high >>> 24;
    const target = shorthand || `${(low & 0x800) !== 0 ? 'logical' : 'APIC'} ${hex(destination)}`;
    return `${DELIVERY_MODE_NAMES[(low >>> 8) & 7]}, vector ${hex(low & 0xff)} → ${target}`;
}

export function inspectLocalApic(view: LocalApicView): DeviceRegister[] {
    const { identity } = view;
    const { tpr, svr, isr, tmr, irr, esr, lvt } = view.interrupts;
    const ppr = view.interrupts.processorPriority();
    const enabled = (identity.baseLow & BaseMsr.Enabled) !== 0;
    const x2apic = (identity.baseLow & BaseMsr.X2Apic) !== 0;
    const mode = !enabled ? 'disabled' : x2apic ? 'x2APIC' : 'xAPIC';
    const role = (identity.baseLow & BaseMsr.Bootstrap) !== 0 ? 'bootstrap processor' : 'application processor';
    const software = (svr & Svr.Enabled) !== 0 ? 'enabled' : 'software disabled';
    const suppress = (svr & Svr.SuppressEoiBroadcast) !== 0 ? ', no EOI broadcast' : '';
    const base = (BigInt(identity.baseHigh) << 32n) | BigInt(identity.baseLow);
    const entries = LVT_NAMES.map((name, index) => ({
        name: `LVT ${name}`,
        value: lvt[index],
        width: 32,
        description: describeLvt(index, lvt[index]),
    }));
    const deadline = (BigInt(view.timer.deadlineHigh) << 32n) | BigInt(view.timer.deadlineLow);
    return [
        { name: 'IA32_APIC_BASE', value: base, width: 64, description: `${mode}, ${role}` },
        { name: 'ID', value: identity.id, width: 32 },
        { name: 'TPR', value: tpr, width: 8, description: `class ${tpr >>> 4}` },
        { name: 'PPR', value: ppr, width: 8, description: `class ${ppr >>> 4}` },
        { name: 'LDR', value: identity.ldr, width: 32 },
        { name: 'DFR', value: identity.dfr, width: 32, description: identity.dfr >>> 28 === 0xf ? 'flat' : 'cluster' },
        { name: 'SVR', value: svr, width: 32, description: `${software}${suppress}` },
        { name: 'IRR', value: vectors(irr), description: 'requested' },
        { name: 'ISR', value: vectors(isr), description: 'in service' },
        { name: 'TMR', value: vectors(tmr), description: 'level triggered' },
        { name: 'ESR', value: esr, width: 32 },
        { name: 'ICR', value: view.icrLow, width: 32, description: describeIcr(view.icrLow, view.icrHigh, x2apic) },
        ...entries,
        { name: 'initial count', value: view.timer.initialCount, width: 32 },
        { name: 'current count', value: view.timer.currentCount, width: 32 },
        { name: 'divide configuration', value: view.timer.divideConfiguration, width: 4 },
        { name: 'IA32_TSC_DEADLINE', value: deadline, width: 64 },
    ];
}

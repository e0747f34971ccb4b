/** A vCPU as a versioned record. Field names are the manual's; what other state implies is not saved. */

import type { StateRecord, StateValue } from '../../devices/device';
import { StateReader } from '../../devices/state-reader';
import { StateOffset } from '../state';
import type { Cpu } from './cpu';
import { SEGMENT_NAMES } from './cpu-state';
import { readRflags, storeRflags } from './flags';

const KIND = 'cpu';
const VERSION = 2;

const GPR_NAMES = [
    ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
    ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
];

/** 64-bit fields. */
const QUADWORDS: Readonly<Record<string, number>> = {
    ...Object.fromEntries(GPR_NAMES.map((name, index) => [name, StateOffset.gpr + index * 8])),
    rip: StateOffset.rip,
    instructions: StateOffset.instructions,
    gdtrBase: StateOffset.gdtrBase,
    idtrBase: StateOffset.idtrBase,
    cr0: StateOffset.cr0,
    cr2: StateOffset.cr2,
    cr3: StateOffset.cr3,
    cr4: StateOffset.cr4,
    efer: StateOffset.efer,
    xcr0: StateOffset.xcr0,
    ...Object.fromEntries([0, 1, 2, 3, 6, 7].map(index => [`dr${index}`, StateOffset.dr + index * 8])),
    ...Object.fromEntries([0, 1, 2, 3].map(index => [`pdpte${index}`, StateOffset.pdpte + index * 8])),
    star: StateOffset.star,
    lstar: StateOffset.lstar,
    cstar: StateOffset.cstar,
    sfmask: StateOffset.sfmask,
    kernelGsBase: StateOffset.kernelGsBase,
    sysenterCs: StateOffset.sysenterCs,
    sysenterEsp: StateOffset.sysenterEsp,
    sysenterEip: StateOffset.sysenterEip,
    pat: StateOffset.pat,
    tscAux: StateOffset.tscAux,
    tscAdjust: StateOffset.tscOffset,
    apicBase: StateOffset.apicBase,
    miscEnable: StateOffset.miscEnable,
    mtrrDefType: StateOffset.mtrrDefType,
    debugctl: StateOffset.debugControl,
    specCtrl: StateOffset.specCtrl,
    mcgStatus: StateOffset.mcgStatus,
    monitorAddress: StateOffset.monitorAddress,
    fip: StateOffset.fip,
    fdp: StateOffset.fdp,
};

/** 32-bit fields. */
const DOUBLEWORDS: Readonly<Record<string, number>> = {
    gdtrLimit: StateOffset.gdtrLimit,
    idtrLimit: StateOffset.idtrLimit,
    interruptShadow: StateOffset.interruptShadow,
    nmiBlocked: StateOffset.nmiBlocked,
    activity: StateOffset.activity,
    apicId: StateOffset.apicId,
    pendingDebug: StateOffset.pendingDebug,
    monitor: StateOffset.monitor,
    pauses: StateOffset.pauses,
    fcw: StateOffset.fcw,
    fsw: StateOffset.fsw,
    ftop: StateOffset.ftop,
    fop: StateOffset.fop,
    fcs: StateOffset.fcs,
    fds: StateOffset.fds,
    mxcsr: StateOffset.mxcsr,
};

/** Arrays, as bytes: offset and length. */
const ARRAYS: Readonly<Record<string, readonly [number, number]>> = {
    mtrrFixed: [StateOffset.mtrrFixed, 11 * 8],
    mtrrVariable: [StateOffset.mtrrVariable, 16 * 8],
    x87: [StateOffset.x87, 8 * 16],
    fempty: [StateOffset.fempty, 8],
    vector: [StateOffset.vector, 32 * 64],
};

export function saveCpu(cpu: Cpu): StateRecord {
    // RF that has run out must not make two equal vCPUs differ.
    cpu.expireResumeFlag();
    const fields: Record<string, StateValue> = { rflags: readRflags(cpu) };
    for (const [name, offset] of Object.entries(QUADWORDS)) fields[name] = cpu.get64(offset);
    for (const [name, offset] of Object.entries(DOUBLEWORDS)) fields[name] = cpu.lo(offset);
    for (const [name, [offset, length]] of Object.entries(ARRAYS)) {
        fields[name] = cpu.bytes.slice(offset, offset + length);
    }
    fields.resumeFlagSet = cpu.f64[StateOffset.resumeFlagSet >> 3];
    SEGMENT_NAMES.forEach((name, segment) => {
        fields[`${name}Selector`] = cpu.selector(segment);
        fields[`${name}Base`] = (BigInt(cpu.segmentBaseHi(segment)) << 32n) | BigInt(cpu.segmentBase(segment));
        fields[`${name}Limit`] = cpu.segmentLimit(segment);
        fields[`${name}Attributes`] = cpu.segmentAttributes(segment);
    });
    return { kind: KIND, version: VERSION, fields };
}

/** Reads everything before it changes anything. The caller recomputes what depends on it. */
export function restoreCpu(cpu: Cpu, record: StateRecord): void {
    const reader = new StateReader(record, KIND, VERSION);
    const writes: (() => void)[] = [];
    const rflags = reader.u32('rflags');
    writes.push(() => storeRflags(cpu, rflags));
    for (const [name, offset] of Object.entries(QUADWORDS)) {
        const value = reader.bigint(name);
        writes.push(() => cpu.set64(offset, value));
    }
    for (const [name, offset] of Object.entries(DOUBLEWORDS)) {
        const value = reader.u32(name);
        writes.push(() => cpu.setLo(offset, value));
    }
    for (const [name, [offset, length]] of Object.entries(ARRAYS)) {
        const value = reader.bytes(name, length);
        writes.push(() => cpu.bytes.set(value, offset));
    }
    const resumeFlagSet = reader.unsigned('resumeFlagSet', Number.MAX_SAFE_INTEGER);
    writes.push(() => (cpu.f64[StateOffset.resumeFlagSet >> 3] = resumeFlagSet));
    SEGMENT_NAMES.forEach((name, segment) => {
        const selector = reader.u16(`${name}Selector`);
        const base = reader.bigint(`${name}Base`);
        const limit = reader.u32(`${name}Limit`);
        const attributes = reader.u32(`${name}Attributes`);
        const lo = Number(base & 0xffffffffn);
        const hi = Number((base >> 32n) & 0xffffffffn);
        writes.push(() => cpu.setSegment(segment, selector, lo, hi, limit, attributes));
    });
    for (const write of writes) write();
}

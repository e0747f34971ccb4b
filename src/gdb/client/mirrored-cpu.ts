/**
 * A vCPU behind a stub as the debugger's own state of one: registers that the stub tells are copied into it, so that
 * everything that looks at a vCPU in this process looks at this one in the same way. It executes nothing.
 */
import { GPR_NAMES, HIGH_BYTE_NAMES, FLAG_BITS } from '../../isa/x86';
import { Segment } from '../../isa/x86/instruction';
import { Cpu, type CpuHooks } from '../../machine/cpu/cpu';
import { Cr0, Cr4, Efer } from '../../machine/cpu/cpu-state';
import type { PhysicalMemory } from '../../machine/cpu/physical';
import { ActivityState, CpuArea, SegmentAttribute, StateOffset } from '../../machine/state';
import { segmentLinear } from '../../debug/address';
import { findRegister } from '../../debug/registers/register-file';
import type { MonitorState, SegmentText } from './monitor-state';
import type { RegisterLayout } from './target-description';

const PAGE = 0x1000;
/** Pages that page walks of the mirrored vCPU look at, and room for them behind its state. */
const PAGE_SLOTS = 64;

/** The stub's names of registers that have others here. Order matters: x87 registers lie where TOP says. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
    eflags: 'rflags',
    rflags: 'rflags',
    fstat: 'fsw',
    fctrl: 'fcw',
    fiseg: 'fcs',
    fioff: 'fip',
    foseg: 'fds',
    fooff: 'fdp',
    ftag: 'ftw',
    fs_base: 'fs.base',
    gs_base: 'gs.base',
    k_gs_base: 'ia32_kernel_gs_base',
    eip: 'rip',
};
const SAME_NAMES = new Set([
    ...GPR_NAMES[8],
    ...['rip', 'cs', 'ss', 'ds', 'es', 'fs', 'gs', 'cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'fop', 'mxcsr'],
    ...Array.from({ length: 8 }, (_, i) => `st${i}`),
    ...Array.from({ length: 16 }, (_, i) => `xmm${i}`),
]);

const I386_NAMES = new Set([...GPR_NAMES[4].slice(0, 8), 'eip']);

/** Offsets of what is copied as it is: writing it by its register would have a processor's effects. */
const RAW: Readonly<Record<string, number>> = {
    rip: StateOffset.rip,
    cr0: StateOffset.cr0,
    cr2: StateOffset.cr2,
    cr3: StateOffset.cr3,
    cr4: StateOffset.cr4,
    efer: StateOffset.efer,
    ia32_kernel_gs_base: StateOffset.kernelGsBase,
};

const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];
const CODE = SegmentAttribute.Present | SegmentAttribute.NonSystem | SegmentAttribute.Code | 3;
const DATA = SegmentAttribute.Present | SegmentAttribute.NonSystem | 3;

/** The root that a narrower register is a part of. */
const ROOTS: ReadonlyMap<string, string> = new Map([
    ...([1, 2, 4] as const).flatMap(size =>
        GPR_NAMES[size].map((name, index): [string, string] => [name, GPR_NAMES[8][index]]),
    ),
    ...HIGH_BYTE_NAMES.map((name, index): [string, string] => [name, GPR_NAMES[8][index]]),
    ...['eip', 'ip', 'pc'].map((name): [string, string] => [name, 'rip']),
    ...['eflags', 'flags', 'iopl', ...FLAG_BITS.map(([name]) => name)].map((name): [string, string] => [
        name,
        'rflags',
    ]),
    ['cpl', 'cs'],
    ['ia32_efer', 'efer'],
    ['ia32_fs_base', 'fs.base'],
    ['ia32_gs_base', 'gs.base'],
    ...Array.from({ length: 8 }, (_, i): [string, string] => [`mm${i}`, 'st0']),
]);

/** A state to come back to. */
export interface SavedCpu {
    readonly bytes: Uint8Array;
    readonly taskPriority: number;
}

/** What stubs do in different ways. */
export interface Peculiarities {
    /** The instruction pointer is a linear address rather than an offset in CS. */
    readonly isLinear: boolean;
    /** `st0` is the physical register R0, whatever TOP says, and the tags are not told: as in QEMU. */
    readonly physicalX87: boolean;
}

export interface ChangedRegister {
    /** As the stub names it. */
    readonly name: string;
    readonly value: bigint;
}

export class MirroredCpu {
    readonly cpu: Cpu;
    /** Names (ours) of registers whose values are the guest's. */
    private known = new Set<string>();
    /** By our name, the stub's: those that can be written. */
    private readonly wire = new Map<string, string>();
    private values: ReadonlyMap<string, bigint> = new Map();
    private taskPriority = 0;
    /** Counts the states that it has had: caches of what depends on them go by it. */
    private generation = 0;
    private readonly slots = new Map<number, number>();
    private nextSlot = 0;

    /** @param page physical memory; undefined where there is none, or it is not at hand */
    constructor(
        private readonly layout: RegisterLayout,
        private readonly peculiar: Peculiarities,
        index: number,
        vcpus: number,
        page: (physical: number) => Uint8Array | undefined,
    ) {
        const buffer = new ArrayBuffer(CpuArea.size + PAGE_SLOTS * PAGE);
        const bytes = new Uint8Array(buffer);
        const physical: PhysicalMemory = {
            ramAddress: address => {
                const known = this.slots.get(address);
                if (known !== undefined) return known;
                const content = page(address);
                if (content === undefined) return -1;
                const slot = CpuArea.size + (this.nextSlot++ % PAGE_SLOTS) * PAGE;
                for (const [other, at] of this.slots) if (at === slot) this.slots.delete(other);
                bytes.set(content, slot);
                this.slots.set(address, slot);
                return slot;
            },
            isReadOnly: () => true,
            read: () => 0xffffffff,
            write: () => undefined,
        };
        this.cpu = new Cpu(buffer, 0, physical, this.hooks(), { apicId: index, processors: vcpus });
        const isWide = layout.registers.some(({ name }) => name === 'rax');
        for (const { name } of layout.registers) {
            // An x86-64's registers may be there by both names.
            const ours = isWide && I386_NAMES.has(name) ? undefined : ourName(name);
            const isTag = ours === 'ftw' && peculiar.physicalX87;
            if (ours !== undefined && !isTag) this.wire.set(ours, name);
        }
    }

    private hooks(): CpuHooks {
        return {
            apic: {
                readTaskPriority: () => this.taskPriority,
                writeTaskPriority: value => (this.taskPriority = value),
                readX2apic: () => -1,
                writeX2apic: () => false,
                baseChanged: () => undefined,
                readTscDeadline: () => 0,
                writeTscDeadline: () => undefined,
                tscMoved: () => undefined,
            },
            ports: { read: () => 0, write: () => undefined },
            tsc: () => 0,
            moveTsc: () => undefined,
            retired: () => this.generation,
            random: () => 0,
            modeChanged: () => undefined,
            attention: () => undefined,
            isCodePage: () => false,
            codeWritten: () => undefined,
            watch: () => 0,
            accessed: () => undefined,
            translationsFlushed: () => undefined,
            pageInvalidated: () => undefined,
        };
    }

    /** What was read of memory may have been incomplete: nothing that came of it is to be kept. */
    forgetPages(): void {
        this.slots.clear();
        this.generation++;
    }

    // ---- what the stub tells -------------------------------------------------------------------------------------

    /** Whether the monitor has to be asked again: what the hidden parts of segments decide may be another. */
    hasNewSegments(values: ReadonlyMap<string, bigint>): boolean {
        const watched = this.cpu.code64 ? ['cs', 'cr0', 'efer', 'cr4'] : [...SEGMENT_NAMES, 'cr0', 'efer', 'cr4'];
        return watched.some(name => values.get(name) !== this.values.get(name));
    }

    /**
     * Takes over what the stub tells.
     * @param monitor what is known beyond the stub's registers
     * @param isNew whether it is as new as they are; else only what seldom changes is taken from it
     */
    update(
        values: ReadonlyMap<string, bigint>,
        monitor: MonitorState | undefined,
        isNew: boolean,
        halted: boolean,
    ): void {
        const { cpu } = this;
        this.values = values;
        this.slots.clear();
        this.known = new Set();
        for (const [ours, wire] of this.ordered()) {
            const value = values.get(wire);
            if (value !== undefined) {
                this.known.add(ours);
                this.put(ours, value);
            }
        }
        this.assumeMode();
        if (monitor === undefined) this.deriveSegments();
        else this.takeMonitor(monitor, isNew);
        for (const name of ['fs', 'gs']) {
            const base = this.ofStub(`${name}.base`);
            if (base !== undefined && (monitor === undefined || cpu.code64)) {
                const [lo, hi] = [Number(base & 0xffffffffn), Number(base >> 32n)];
                cpu.setSegmentBase(name === 'fs' ? Segment.Fs : Segment.Gs, lo, hi);
            }
        }
        cpu.setLo(StateOffset.activity, halted ? ActivityState.Halted : ActivityState.Active);
        cpu.stateReplaced();
        if (this.peculiar.isLinear && !cpu.code64) {
            // An offset in CS, once CS is known.
            const base = BigInt(cpu.segmentBase(Segment.Cs));
            cpu.set64(StateOffset.rip, BigInt.asUintN(32, cpu.get64(StateOffset.rip) - base));
        }
        this.generation++;
    }

    private ofStub(ours: string): bigint | undefined {
        const wire = this.wire.get(ours);
        return wire === undefined ? undefined : this.values.get(wire);
    }

    /** The x87 status comes before the stack that its TOP arranges, and the tags after that. */
    private ordered(): [ours: string, wire: string][] {
        const rank = (name: string): number => (name === 'fsw' ? 0 : name === 'ftw' ? 2 : 1);
        return [...this.wire].sort(([a], [b]) => rank(a) - rank(b));
    }

    private put(ours: string, value: bigint): void {
        const { cpu } = this;
        if (Object.hasOwn(RAW, ours)) {
            cpu.set64(RAW[ours], value);
        } else if (this.peculiar.physicalX87 && /^st\d$/.test(ours)) {
            const at = StateOffset.x87 + 16 * Number(ours[2]);
            cpu.set64(at, BigInt.asUintN(64, value));
            cpu.words[(at + 8) >> 1] = Number(value >> 64n);
        } else if (ours === 'cr8') {
            this.taskPriority = Number(value & 0xfn) << 4;
        } else if (SEGMENT_NAMES.includes(ours) || ours.endsWith('.base')) {
            // With the hidden parts, below.
        } else {
            const register = findRegister(ours);
            register?.write?.(cpu, BigInt.asUintN(register.width, value));
        }
    }

    /** Without control registers: a stub of x86-64 debugs 64-bit code, one of i386 flat 32-bit code. */
    private assumeMode(): void {
        const { cpu, known } = this;
        if (known.has('cr0') && (known.has('efer') || !this.wire.has('rax'))) return;
        const is64 = this.layout.registers.some(({ name }) => name === 'rax');
        if (!known.has('cr0')) cpu.setLo(StateOffset.cr0, (Cr0.PE | Cr0.ET | (is64 ? Cr0.PG : 0)) >>> 0);
        if (!known.has('cr4')) cpu.setLo(StateOffset.cr4, (is64 ? Cr4.PAE : 0) | Cr4.OSFXSR);
        if (!known.has('efer')) cpu.setLo(StateOffset.efer, is64 ? Efer.LMA | Efer.LME : 0);
    }

    /** Hidden parts as they usually are, where only the selectors are known. */
    private deriveSegments(): void {
        const { cpu } = this;
        const isProtected = (cpu.cr0 & Cr0.PE) !== 0;
        const isLong = (cpu.efer & Efer.LMA) !== 0;
        const cpl = isProtected ? Number((this.ofStub('cs') ?? 0n) & 3n) : 0;
        SEGMENT_NAMES.slice(0, 6).forEach((name, segment) => {
            const selector = Number((this.ofStub(name) ?? 0n) & 0xffffn);
            const kind = (name === 'cs' ? CODE : DATA) | (cpl << SegmentAttribute.DplShift);
            if (isProtected) {
                const size = name === 'cs' && isLong ? SegmentAttribute.Long : SegmentAttribute.Big;
                cpu.setSegment(segment, selector, 0, 0, 0xffffffff, kind | size | SegmentAttribute.Granularity);
            } else {
                // After a reset CS lies at the end of the address space.
                const ip = this.ofStub('rip') ?? 0n;
                const isReset =
                    name === 'cs' && selector === 0xf000 && ip === (this.peculiar.isLinear ? 0xfffffff0n : 0xfff0n);
                cpu.setSegment(segment, selector, isReset ? 0xffff0000 : selector << 4, 0, 0xffff, kind);
            }
        });
    }

    private takeMonitor(monitor: MonitorState, isNew: boolean): void {
        const { cpu, known } = this;
        SEGMENT_NAMES.forEach((name, segment) => {
            const text = monitor.segments.get(name);
            if (text !== undefined) {
                known.add(name).add(`${name}.`).add(`${name}.base`);
                const selector = this.ofStub(name);
                const asStub = selector === undefined ? text : { ...text, selector: Number(selector & 0xffffn) };
                cpu.setSegment(segment, ...hiddenParts(asStub));
            }
        });
        for (const [name, base, limit] of [
            ['gdtr', StateOffset.gdtrBase, StateOffset.gdtrLimit],
            ['idtr', StateOffset.idtrBase, StateOffset.idtrLimit],
        ] as const) {
            const table = monitor.tables.get(name);
            if (table !== undefined) {
                known.add(name);
                cpu.set64(base, table.base);
                cpu.setLo(limit, table.limit);
            }
        }
        if (!isNew) return;
        if (this.peculiar.physicalX87 && monitor.tags !== undefined) {
            known.add('ftw');
            for (let r = 0; r < 8; r++) cpu.bytes[StateOffset.fempty + r] = (monitor.tags >> r) & 1 ? 0 : 1;
        }
        for (const [name, value] of monitor.others) {
            const debug = /^dr([0-367])$/.exec(name);
            if (debug !== null) cpu.set64(StateOffset.dr + 8 * Number(debug[1]), value);
            else if (this.known.has(name)) continue;
            else if (Object.hasOwn(RAW, name)) cpu.set64(RAW[name], value);
            else continue;
            known.add(name);
        }
    }

    // ---- what is known -------------------------------------------------------------------------------------------

    /** Whether the value of a register, or of a part of one, is the guest's. */
    isKnown(name: string): boolean {
        const { known } = this;
        const root = ROOTS.get(name) ?? name;
        if (known.has(root)) return true;
        const dot = root.indexOf('.');
        if (dot < 0) return false;
        const whole = ROOTS.get(root.slice(0, dot)) ?? root.slice(0, dot);
        return SEGMENT_NAMES.includes(whole) ? known.has(`${whole}.`) : known.has(whole);
    }

    /** Whether the stub lets a register be written. */
    isWritable(name: string): boolean {
        const root = ROOTS.get(name) ?? name;
        const dot = root.indexOf('.');
        const whole = dot < 0 ? root : (ROOTS.get(root.slice(0, dot)) ?? root.slice(0, dot));
        return this.wire.has(root) || (dot >= 0 && !SEGMENT_NAMES.includes(whole) && this.wire.has(whole));
    }

    /** Registers of the stub's that have another value than in a state that was saved. */
    changesSince(before: SavedCpu): ChangedRegister[] {
        const now = this.readAll();
        const changed = this.save();
        this.restore(before);
        const old = this.readAll();
        this.restore(changed);
        return [...now].filter(([name, value]) => value !== old.get(name)).map(([name, value]) => ({ name, value }));
    }

    /** By the stub's names. */
    private readAll(): Map<string, bigint> {
        const { cpu } = this;
        const all = new Map<string, bigint>();
        for (const [ours, wire] of this.wire) {
            const register = findRegister(ours);
            if (register === undefined || !this.values.has(wire)) continue;
            const value =
                this.peculiar.physicalX87 && /^st\d$/.test(ours)
                    ? this.readPhysical(Number(ours[2]))
                    : register.read(cpu);
            const isPointer = ours === 'rip' && this.peculiar.isLinear && !cpu.code64;
            all.set(wire, isPointer ? segmentLinear(cpu, Segment.Cs, value) : value);
        }
        return all;
    }

    private readPhysical(index: number): bigint {
        const at = StateOffset.x87 + 16 * index;
        return (BigInt(this.cpu.words[(at + 8) >> 1]) << 64n) | this.cpu.get64(at);
    }

    /** For what has to be taken back. */
    save(): SavedCpu {
        return { bytes: this.cpu.bytes.slice(), taskPriority: this.taskPriority };
    }

    restore({ bytes, taskPriority }: SavedCpu): void {
        this.cpu.bytes.set(bytes);
        this.taskPriority = taskPriority;
        this.cpu.stateReplaced();
    }
}

function ourName(wire: string): string | undefined {
    if (Object.hasOwn(OTHER_NAMES, wire)) return OTHER_NAMES[wire];
    if (SAME_NAMES.has(wire)) return wire;
    // An i386's general registers are the low halves.
    const index = GPR_NAMES[4].indexOf(wire);
    return index >= 0 && index < 8 ? GPR_NAMES[8][index] : undefined;
}

function hiddenParts({ selector, base, limit, attributes }: SegmentText): [number, number, number, number, number] {
    const unusable = attributes & SegmentAttribute.Present ? 0 : SegmentAttribute.Unusable;
    return [selector, Number(base & 0xffffffffn), Number(base >> 32n), limit, attributes | unusable];
}

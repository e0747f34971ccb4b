/**
 * Moves a vCPU's state between the machine's layout (`StateOffset`) and KVM's structures.
 *
 * What KVM passes through the `kvm_run` page (general registers, segments and control registers, event state) is copied
 * at every exit and costs no system call. The rest (x87 and SSE, debug registers, MSRs) moves only when somebody may
 * look at it.
 */
import type { Cpu } from '../machine/cpu/cpu';
import { Cr4, SEGMENT_COUNT } from '../machine/cpu/cpu-state';
import { usesPae } from '../machine/cpu/control';
import { readRflags, storeRflags } from '../machine/cpu/flags';
import { Flag, SegmentAttribute, SegmentOffset, segmentOffset, StateOffset } from '../machine/state';
import {
    DebugRegsField,
    EventField,
    EventFlag,
    Ioctl,
    MsrEntry,
    MsrField,
    RegsOffset,
    RunOffset,
    SegmentField,
    Shadow,
    SREGS2_PDPTRS_VALID,
    Sregs2Offset,
    SregsOffset,
    TableField,
    XSAVE_SIZE,
} from './abi';
import { ioctl, NativeBuffer } from './libc';
import { KvmError } from './errors';

/** Place in `kvm_regs` of the registers in encoding order (RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI). */
const GPR_PLACE = [0, 2, 3, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/** Place in `kvm_sregs` of ES CS SS DS FS GS LDTR TR. */
const SEGMENT_PLACE = [2, 0, 5, 1, 3, 4, 7, 6];

/** MSRs that KVM itself keeps while the guest runs there; all others come to the machine's own table (msr.ts). */
const NATIVE_MSRS: readonly (readonly [index: number, offset: StateOffset, always: boolean])[] = [
    [0x174, StateOffset.sysenterCs, true],
    [0x175, StateOffset.sysenterEsp, true],
    [0x176, StateOffset.sysenterEip, true],
    [0x277, StateOffset.pat, true],
    [0xc0000081, StateOffset.star, true],
    [0xc0000082, StateOffset.lstar, true],
    [0xc0000083, StateOffset.cstar, true],
    [0xc0000084, StateOffset.sfmask, true],
    [0xc0000102, StateOffset.kernelGsBase, true],
    [0xc0000103, StateOffset.tscAux, false],
];

/** Besides those, MSRs that are part of what KVM passes as system registers: EFER, FS and GS base. */
const SYSTEM_REGISTER_MSRS = [0xc0000080, 0xc0000100, 0xc0000101];

/** MSRs that the guest may reach without an exit. */
export function nativeMsrs(offered: ReadonlySet<number>): number[] {
    return [...NATIVE_MSRS.filter(([index, , always]) => always || offered.has(index)).map(([index]) => index)].concat(
        SYSTEM_REGISTER_MSRS,
    );
}

/** The XSAVE image: which components are not in their initial state. */
const XSTATE_BV = 512;
const XSTATE_X87_SSE = 3;
const FXSAVE_DOUBLEWORDS = 128;
const MXCSR_MASK_AT = 28;

/** What an exit left pending inside KVM; none of it has a place in the machine's state. */
export interface PendingEvents {
    exception: number;
    exceptionError: number;
    interrupt: number;
    nmi: boolean;
    nmiPending: boolean;
}

export class StateTransfer {
    /** Everything below, in 32-bit words of the `kvm_run` page. */
    private readonly u32: Uint32Array;
    private readonly u8: Uint8Array;
    private readonly registersAt: number;
    private readonly systemAt: number;
    private readonly eventsAt: number;
    private readonly xsave = new NativeBuffer(XSAVE_SIZE);
    private readonly fxsave: Uint32Array;
    private readonly debug = new NativeBuffer(DebugRegsField.size);
    private readonly msrs: NativeBuffer;
    private readonly sregs2 = new NativeBuffer(Sregs2Offset.size);
    private readonly xcrs = new NativeBuffer(0x188);
    private readonly native: readonly (readonly [index: number, offset: StateOffset])[];

    constructor(
        private readonly fd: number,
        private readonly cpu: Cpu,
        /** Address of the `kvm_run` page in the shared memory. */
        run: number,
        /** Where that page is in the host's address space. */
        private readonly runHost: number,
        offered: ReadonlySet<number>,
        private readonly options: { readonly xcr0: boolean; readonly sregs2: boolean },
    ) {
        this.u8 = new Uint8Array(cpu.buffer, run, 0x1000);
        this.u32 = new Uint32Array(cpu.buffer, run, 0x400);
        this.registersAt = RunOffset.registers >> 2;
        this.systemAt = RunOffset.systemRegisters >> 2;
        this.eventsAt = RunOffset.events;
        this.fxsave = new Uint32Array(this.xsave.bytes.buffer, 0, FXSAVE_DOUBLEWORDS);
        this.native = NATIVE_MSRS.filter(([index, , always]) => always || offered.has(index)).map(
            ([index, offset]) => [index, offset] as const,
        );
        this.msrs = new NativeBuffer(MsrField.entries + this.native.length * MsrEntry.size);
        this.native.forEach(([index], number) =>
            this.msrs.view.setUint32(MsrField.entries + number * MsrEntry.size, index, true),
        );
    }

    // ---- through the kvm_run page --------------------------------------------------------------------------------

    /** Takes over what KVM left in the `kvm_run` page. `retired` stamps RFLAGS.RF (see `resumeFlagSet`). */
    saveShared(retired: number): void {
        const { cpu, u32 } = this;
        this.saveRip(retired);
        const state = cpu.u32;
        for (let register = 0; register < 16; register++) {
            const from = this.registersAt + GPR_PLACE[register] * 2;
            state[register * 2] = u32[from];
            state[register * 2 + 1] = u32[from + 1];
        }
        for (let segment = 0; segment < SEGMENT_COUNT; segment++) {
            this.saveSegment(segment);
        }
        this.saveTable(StateOffset.gdtrBase, SregsOffset.gdt);
        this.saveTable(StateOffset.idtrBase, SregsOffset.idt);
        this.saveSystem(StateOffset.cr0, SregsOffset.cr0);
        this.saveSystem(StateOffset.cr2, SregsOffset.cr2);
        this.saveSystem(StateOffset.cr3, SregsOffset.cr3);
        this.saveSystem(StateOffset.cr4, SregsOffset.cr4);
        this.saveSystem(StateOffset.efer, SregsOffset.efer);
        const shadow = this.u8[this.eventsAt + EventField.interruptShadow];
        cpu.setLo(StateOffset.interruptShadow, (shadow & Shadow.Sti ? 1 : 0) | (shadow & Shadow.MovSs ? 2 : 0));
        cpu.setLo(StateOffset.nmiBlocked, this.u8[this.eventsAt + EventField.nmiMasked]);
        cpu.updateMode();
    }

    /** RIP and RFLAGS alone: what a look at the instruction needs. */
    saveRip(retired: number): void {
        const { cpu, u32 } = this;
        const at = this.registersAt + (RegsOffset.rip >> 2);
        cpu.setRip(u32[at], u32[at + 1]);
        const flags = u32[this.registersAt + (RegsOffset.rflags >> 2)];
        storeRflags(cpu, flags);
        if (flags & Flag.RF) {
            cpu.f64[StateOffset.resumeFlagSet >> 3] = retired;
        }
    }

    /** Puts the state into the `kvm_run` page, for KVM to take over at the next KVM_RUN. */
    loadShared(): void {
        const { cpu, u32, u8 } = this;
        cpu.expireResumeFlag();
        const state = cpu.u32;
        for (let register = 0; register < 16; register++) {
            const to = this.registersAt + GPR_PLACE[register] * 2;
            u32[to] = state[register * 2];
            u32[to + 1] = state[register * 2 + 1];
        }
        const rip = this.registersAt + (RegsOffset.rip >> 2);
        u32[rip] = cpu.ripLo;
        u32[rip + 1] = cpu.ripHi;
        u32[rip + 2] = readRflags(cpu);
        u32[rip + 3] = 0;
        for (let segment = 0; segment < SEGMENT_COUNT; segment++) {
            this.loadSegment(segment);
        }
        this.loadTable(StateOffset.gdtrBase, SregsOffset.gdt);
        this.loadTable(StateOffset.idtrBase, SregsOffset.idt);
        this.loadSystem(StateOffset.cr0, SregsOffset.cr0);
        this.loadSystem(StateOffset.cr2, SregsOffset.cr2);
        this.loadSystem(StateOffset.cr3, SregsOffset.cr3);
        this.loadSystem(StateOffset.cr4, SregsOffset.cr4);
        this.loadSystem(StateOffset.efer, SregsOffset.efer);
        this.loadSystem(StateOffset.apicBase, SregsOffset.apicBase);
        const cr8 = this.systemAt + (SregsOffset.cr8 >> 2);
        u32[cr8] = cpu.hooks.apic.readTaskPriority() >>> 4;
        u32[cr8 + 1] = 0;
        u32.fill(0, this.systemAt + (SregsOffset.interruptBitmap >> 2), this.systemAt + (SregsOffset.size >> 2));
        u8.fill(0, this.eventsAt, this.eventsAt + EventField.size);
        const shadow = cpu.lo(StateOffset.interruptShadow);
        u8[this.eventsAt + EventField.interruptShadow] =
            (shadow & 1 ? Shadow.Sti : 0) | (shadow & 2 ? Shadow.MovSs : 0);
        u8[this.eventsAt + EventField.nmiMasked] = cpu.lo(StateOffset.nmiBlocked);
        u8[this.eventsAt + EventField.flags] = EventFlag.Shadow | EventFlag.NmiPending;
    }

    /** Events that KVM has begun to deliver, or is about to; undefined if there are none. */
    pendingEvents(): PendingEvents | undefined {
        const at = this.eventsAt;
        const { u8 } = this;
        const exception = u8[at + EventField.exceptionInjected] !== 0 || u8[at + EventField.exceptionPending] !== 0;
        // An INT n is executed again: it has not been acknowledged anywhere.
        const interrupt = u8[at + EventField.interruptInjected] !== 0 && u8[at + EventField.interruptSoft] === 0;
        const nmi = u8[at + EventField.nmiInjected] !== 0;
        const nmiPending = u8[at + EventField.nmiPending] !== 0;
        if (!exception && !interrupt && !nmi && !nmiPending) {
            return undefined;
        }
        return {
            exception: exception ? u8[at + EventField.exceptionNumber] : -1,
            exceptionError: this.u32[(at + EventField.exceptionError) >> 2],
            interrupt: interrupt ? u8[at + EventField.interruptNumber] : -1,
            nmi,
            nmiPending,
        };
    }

    private saveSegment(segment: number): void {
        const { cpu, u32, u8 } = this;
        const from = RunOffset.systemRegisters + SEGMENT_PLACE[segment] * SegmentField.size;
        const to = segmentOffset(segment) >> 2;
        cpu.u32[to] = u32[from >> 2];
        cpu.u32[to + 1] = u32[(from >> 2) + 1];
        cpu.u32[to + (SegmentOffset.limit >> 2)] = u32[(from + SegmentField.limit) >> 2];
        cpu.u32[to + (SegmentOffset.selector >> 2)] =
            u8[from + SegmentField.selector] | (u8[from + SegmentField.selector + 1] << 8);
        cpu.u32[to + (SegmentOffset.attributes >> 2)] =
            u8[from + SegmentField.type] |
            (u8[from + SegmentField.s] << 4) |
            (u8[from + SegmentField.dpl] << SegmentAttribute.DplShift) |
            (u8[from + SegmentField.present] << 7) |
            (u8[from + SegmentField.avl] << 12) |
            (u8[from + SegmentField.l] << 13) |
            (u8[from + SegmentField.db] << 14) |
            (u8[from + SegmentField.g] << 15) |
            (u8[from + SegmentField.unusable] !== 0 ? SegmentAttribute.Unusable : 0);
    }

    private loadSegment(segment: number): void {
        const { cpu, u32, u8 } = this;
        const to = RunOffset.systemRegisters + SEGMENT_PLACE[segment] * SegmentField.size;
        u32[to >> 2] = cpu.segmentBase(segment);
        u32[(to >> 2) + 1] = cpu.segmentBaseHi(segment);
        u32[(to + SegmentField.limit) >> 2] = cpu.segmentLimit(segment);
        const selector = cpu.selector(segment);
        u8[to + SegmentField.selector] = selector;
        u8[to + SegmentField.selector + 1] = selector >> 8;
        const attributes = cpu.segmentAttributes(segment);
        u8[to + SegmentField.type] = attributes & 0xf;
        u8[to + SegmentField.s] = (attributes >> 4) & 1;
        u8[to + SegmentField.dpl] = (attributes >> SegmentAttribute.DplShift) & 3;
        u8[to + SegmentField.present] = (attributes >> 7) & 1;
        u8[to + SegmentField.avl] = (attributes >> 12) & 1;
        u8[to + SegmentField.l] = (attributes >> 13) & 1;
        u8[to + SegmentField.db] = (attributes >> 14) & 1;
        u8[to + SegmentField.g] = (attributes >> 15) & 1;
        u8[to + SegmentField.unusable] = attributes & SegmentAttribute.Unusable ? 1 : 0;
        u8[to + SegmentField.unusable + 1] = 0;
    }

    private saveTable(offset: StateOffset, table: number): void {
        const at = (RunOffset.systemRegisters + table) >> 2;
        this.cpu.set(offset, this.u32[at], this.u32[at + 1]);
        this.cpu.setLo(offset + 8, this.u32[at + (TableField.limit >> 2)] & 0xffff);
    }

    private loadTable(offset: StateOffset, table: number): void {
        const at = (RunOffset.systemRegisters + table) >> 2;
        this.u32[at] = this.cpu.lo(offset);
        this.u32[at + 1] = this.cpu.hi(offset);
        this.u32[at + (TableField.limit >> 2)] = this.cpu.lo(offset + 8) & 0xffff;
        this.u32[at + 3] = 0;
    }

    private saveSystem(offset: StateOffset, register: SregsOffset): void {
        const at = this.systemAt + (register >> 2);
        this.cpu.set(offset, this.u32[at], this.u32[at + 1]);
    }

    private loadSystem(offset: StateOffset, register: SregsOffset): void {
        const at = this.systemAt + (register >> 2);
        this.u32[at] = this.cpu.lo(offset);
        this.u32[at + 1] = this.cpu.hi(offset);
    }

    // ---- by system calls -----------------------------------------------------------------------------------------

    /**
     * Takes over x87, SSE, debug registers, MSRs and PDPTEs. The rest has been taken over by {@link saveShared}.
     * @throws KvmError
     */
    saveRest(): void {
        const { fd, cpu } = this;
        ioctl(fd, Ioctl.GetXsave, this.xsave.address);
        this.saveFpu();
        this.saveDebugRegisters();
        this.msrs.view.setUint32(MsrField.count, this.native.length, true);
        const got = ioctl(fd, Ioctl.GetMsrs, this.msrs.address);
        this.requireAll('KVM_GET_MSRS', got);
        this.native.forEach(([, offset], number) => {
            const at = MsrField.entries + number * MsrEntry.size + MsrEntry.data;
            cpu.set(offset, this.msrs.view.getUint32(at, true), this.msrs.view.getUint32(at + 4, true));
        });
        if (this.options.xcr0 && cpu.cr4 & Cr4.OSXSAVE) {
            ioctl(fd, Ioctl.GetXcrs, this.xcrs.address);
            cpu.set64(StateOffset.xcr0, this.xcrs.view.getBigUint64(16, true));
        }
        if (this.options.sregs2 && usesPae(cpu.cr0, cpu.cr4, cpu.efer)) {
            ioctl(fd, Ioctl.GetSregs2, this.sregs2.address);
            if (this.sregs2.view.getUint32(Sregs2Offset.flags, true) & SREGS2_PDPTRS_VALID) {
                for (let index = 0; index < 4; index++) {
                    const pdpte = this.sregs2.view.getBigUint64(Sregs2Offset.pdptrs + index * 8, true);
                    cpu.set64(StateOffset.pdpte + index * 8, pdpte);
                }
            }
        }
    }

    /** @throws KvmError */
    saveDebugRegisters(): void {
        const { cpu, debug } = this;
        ioctl(this.fd, Ioctl.GetDebugRegs, debug.address);
        for (let register = 0; register < 4; register++) {
            cpu.set64(StateOffset.dr + register * 8, debug.view.getBigUint64(register * 8, true));
        }
        cpu.set64(StateOffset.dr + 6 * 8, debug.view.getBigUint64(DebugRegsField.dr6, true));
        cpu.set64(StateOffset.dr + 7 * 8, debug.view.getBigUint64(DebugRegsField.dr7, true));
    }

    /**
     * Hands x87, SSE, debug registers and MSRs to KVM.
     * @throws KvmError
     */
    loadRest(): void {
        const { fd, cpu } = this;
        this.loadFpu();
        ioctl(fd, Ioctl.SetXsave, this.xsave.address, 'the x87 and SSE registers');
        this.debug.clear();
        for (let register = 0; register < 4; register++) {
            this.debug.view.setBigUint64(register * 8, cpu.get64(StateOffset.dr + register * 8), true);
        }
        this.debug.view.setBigUint64(DebugRegsField.dr6, cpu.get64(StateOffset.dr + 6 * 8), true);
        this.debug.view.setBigUint64(DebugRegsField.dr7, cpu.get64(StateOffset.dr + 7 * 8), true);
        ioctl(fd, Ioctl.SetDebugRegs, this.debug.address, 'DR0-DR7');
        this.msrs.view.setUint32(MsrField.count, this.native.length, true);
        this.native.forEach(([, offset], number) => {
            const at = MsrField.entries + number * MsrEntry.size + MsrEntry.data;
            this.msrs.view.setUint32(at, cpu.lo(offset), true);
            this.msrs.view.setUint32(at + 4, cpu.hi(offset), true);
        });
        this.requireAll('KVM_SET_MSRS', ioctl(fd, Ioctl.SetMsrs, this.msrs.address));
        if (this.options.xcr0) {
            this.xcrs.clear();
            this.xcrs.view.setUint32(0, 1, true);
            this.xcrs.view.setBigUint64(16, cpu.get64(StateOffset.xcr0), true);
            ioctl(fd, Ioctl.SetXcrs, this.xcrs.address, 'XCR0');
        }
    }

    /** Finds out which part of what {@link loadShared} has put down KVM refuses. @throws KvmError */
    explainRefusal(): void {
        const page = this.runHost;
        ioctl(this.fd, Ioctl.SetRegs, page + RunOffset.registers, 'the general registers');
        ioctl(this.fd, Ioctl.SetSregs, page + RunOffset.systemRegisters, 'segments and control registers');
        ioctl(this.fd, Ioctl.SetVcpuEvents, page + RunOffset.events, 'pending events');
    }

    private requireAll(call: string, done: number): void {
        if (done < this.native.length) {
            const [index] = this.native[done];
            throw new KvmError(
                call,
                22,
                `${done} of ${this.native.length} MSRs went through; it stopped at 0x${index.toString(16)}`,
            );
        }
    }

    private saveFpu(): void {
        const { cpu, fxsave } = this;
        const inUse = this.xsave.view.getUint32(XSTATE_BV, true);
        const sse = (inUse & 2) !== 0;
        for (let register = 0; register < 16; register++) {
            const to = (StateOffset.vector + register * 64) >> 2;
            for (let word = 0; word < 4; word++) {
                cpu.u32[to + word] = sse ? fxsave[40 + register * 4 + word] : 0;
            }
        }
        cpu.setLo(StateOffset.mxcsr, fxsave[6]);
        const x87 = (inUse & 1) !== 0;
        const word = (index: number, initial: number): number => (x87 ? fxsave[index] : initial);
        const status = word(0, 0x37f);
        const top = (status >>> 27) & 7;
        cpu.setLo(StateOffset.fcw, status & 0xffff);
        cpu.setLo(StateOffset.fsw, (status >>> 16) & ~0x3800);
        cpu.setLo(StateOffset.ftop, top);
        const tags = word(1, 0);
        cpu.setLo(StateOffset.fop, (tags >>> 16) & 0x7ff);
        cpu.set(StateOffset.fip, word(2, 0), word(3, 0));
        cpu.set(StateOffset.fdp, word(4, 0), word(5, 0));
        cpu.setLo(StateOffset.fcs, 0);
        cpu.setLo(StateOffset.fds, 0);
        for (let register = 0; register < 8; register++) {
            cpu.bytes[StateOffset.fempty + register] = (tags >> register) & 1 ? 0 : 1;
            const to = (StateOffset.x87 + ((top + register) & 7) * 16) >> 2;
            cpu.u32[to] = word(8 + register * 4, 0);
            cpu.u32[to + 1] = word(9 + register * 4, 0);
            cpu.u32[to + 2] = word(10 + register * 4, 0) & 0xffff;
        }
    }

    private loadFpu(): void {
        const { cpu, fxsave } = this;
        this.xsave.clear();
        const top = cpu.lo(StateOffset.ftop) & 7;
        let tags = 0;
        for (let register = 0; register < 8; register++) {
            if (cpu.bytes[StateOffset.fempty + register] === 0) tags |= 1 << register;
            const from = (StateOffset.x87 + ((top + register) & 7) * 16) >> 2;
            fxsave[8 + register * 4] = cpu.u32[from];
            fxsave[9 + register * 4] = cpu.u32[from + 1];
            fxsave[10 + register * 4] = cpu.u32[from + 2] & 0xffff;
        }
        const status = (cpu.lo(StateOffset.fsw) & ~0x3800) | (top << 11);
        fxsave[0] = (cpu.lo(StateOffset.fcw) & 0xffff) | (status << 16);
        fxsave[1] = tags | ((cpu.lo(StateOffset.fop) & 0x7ff) << 16);
        fxsave[2] = cpu.lo(StateOffset.fip);
        // 64-bit pointers have no room for the selectors; processors of this century do not report those anyway.
        fxsave[3] = cpu.hi(StateOffset.fip);
        fxsave[4] = cpu.lo(StateOffset.fdp);
        fxsave[5] = cpu.hi(StateOffset.fdp);
        fxsave[6] = cpu.lo(StateOffset.mxcsr);
        this.xsave.view.setUint32(MXCSR_MASK_AT, 0xffff, true);
        for (let register = 0; register < 16; register++) {
            const from = (StateOffset.vector + register * 64) >> 2;
            for (let word = 0; word < 4; word++) fxsave[40 + register * 4 + word] = cpu.u32[from + word];
        }
        this.xsave.view.setUint32(XSTATE_BV, XSTATE_X87_SSE, true);
    }
}

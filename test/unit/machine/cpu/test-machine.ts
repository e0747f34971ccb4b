import assert from 'node:assert/strict';
import { type CodeSize, decode, type Instruction } from '../../../../src/isa/x86';
import { type ApicPort, Cpu, type CpuHooks, type CpuOptions } from '../../../../src/machine/cpu/cpu';
import { GuestFault, type Vector } from '../../../../src/machine/cpu/fault';
import type { PhysicalMemory } from '../../../../src/machine/cpu/physical';
import { executeSystem } from '../../../../src/machine/cpu/system';
import {
    CpuArea,
    ModeKey,
    SegmentAttribute,
    SegmentOffset,
    segmentOffset,
    StateOffset,
} from '../../../../src/machine/state';

const RAM_BASE = Math.ceil(CpuArea.size / 0x10000) * 0x10000;
export const RAM_SIZE = 0x400000;
/** An MMIO page beyond RAM. */
export const MMIO = 0xe0000000;

export interface Fault {
    readonly vector: number;
    readonly errorCode: number;
    readonly address: bigint;
}

/** Selectors of the GDT that {@link TestMachine.protect} and {@link TestMachine.enterLongMode} build. */
export const enum Selector {
    Code0 = 0x08,
    Data0 = 0x10,
    Code3 = 0x1b,
    Data3 = 0x23,
    Code64 = 0x28,
    Tss = 0x30,
    /** 16-byte descriptors take two entries. */
    Free = 0x40,
    Code64User = 0x53,
}

export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
export const PML4 = 0x10000;

/** Access bytes of descriptors. */
export const CODE0 = 0x9b;
export const DATA0 = 0x93;
export const CODE3 = 0xfb;
export const DATA3 = 0xf3;
/** Flag nibbles: G and D/B, G and L. */
export const FLAT32 = 0xc;
export const FLAT64 = 0xa;

/** A vCPU with 4 MiB of RAM at physical 0, and everything else it is wired to as recordings. */
export class TestMachine implements PhysicalMemory {
    readonly buffer = new ArrayBuffer(RAM_BASE + RAM_SIZE);
    readonly ram = new DataView(this.buffer, RAM_BASE, RAM_SIZE);
    readonly cpu: Cpu;
    readonly codePages = new Set<number>();
    readonly codeWrites: number[] = [];
    readonly readOnly = new Set<number>();
    readonly mmio: string[] = [];
    readonly ports: string[] = [];
    readonly flushes: string[] = [];
    mmioValue = 0;
    portValue = 0;
    time = 1000;
    instructions = 0;
    taskPriority = 0;
    x2apic = new Map<number, [number, number]>();

    constructor(options?: CpuOptions) {
        this.cpu = new Cpu(this.buffer, 0, this, this.hooks(), options);
    }

    // ---- PhysicalMemory --------------------------------------------------------------------------------------

    ramAddress(page: number): number {
        return page < RAM_SIZE ? RAM_BASE + page : -1;
    }

    isReadOnly(page: number): boolean {
        return this.readOnly.has(page);
    }

    read(address: number, size: number): number {
        this.mmio.push(`read ${address.toString(16)} ${size}`);
        return this.mmioValue;
    }

    write(address: number, size: number, value: number): void {
        this.mmio.push(`write ${address.toString(16)} ${size} ${value.toString(16)}`);
    }

    private hooks(): CpuHooks {
        const apic: ApicPort = {
            readTaskPriority: () => this.taskPriority,
            writeTaskPriority: value => (this.taskPriority = value),
            readX2apic: (register, high) => this.x2apic.get(register)?.[high ? 1 : 0] ?? -1,
            writeX2apic: (register, lo, hi) => {
                this.x2apic.set(register, [lo, hi]);
                return register !== 2;
            },
            baseChanged: () => {},
            readTscDeadline: () => 0,
            writeTscDeadline: () => {},
            tscMoved: () => {},
        };
        return {
            apic,
            ports: {
                read: (port, size) => {
                    this.ports.push(`in ${port.toString(16)} ${size}`);
                    return this.portValue;
                },
                write: (port, size, value) => {
                    this.ports.push(`out ${port.toString(16)} ${size} ${value.toString(16)}`);
                },
            },
            tsc: () => this.time,
            moveTsc: value => (this.time = value),
            retired: () => this.instructions,
            random: () => 0x12345678,
            modeChanged: () => {},
            attention: () => {},
            isCodePage: page => this.codePages.has(page),
            codeWritten: address => this.codeWrites.push(address),
            watch: () => 0,
            accessed: () => {},
            translationsFlushed: keepGlobal => this.flushes.push(keepGlobal ? 'non-global' : 'all'),
            pageInvalidated: () => this.flushes.push('page'),
        };
    }

    // ---- memory ----------------------------------------------------------------------------------------------

    poke16(address: number, value: number): void {
        this.ram.setUint16(address, value, true);
    }

    poke32(address: number, value: number): void {
        this.ram.setUint32(address, value, true);
    }

    poke64(address: number, value: bigint): void {
        this.ram.setBigUint64(address, value, true);
    }

    peek16(address: number): number {
        return this.ram.getUint16(address, true);
    }

    peek32(address: number): number {
        return this.ram.getUint32(address, true);
    }

    peek64(address: number): bigint {
        return this.ram.getBigUint64(address, true);
    }

    // ---- descriptors -----------------------------------------------------------------------------------------

    /** Writes a segment descriptor; `flags` is G, D/B, L, AVL from bit 3 down, `limit` in units of G. */
    describe(selector: number, base: number, limit: number, access: number, flags: number, table = GDT): void {
        const at = table + (selector & 0xfff8);
        this.poke32(at, (((base & 0xffff) << 16) | (limit & 0xffff)) >>> 0);
        this.poke32(
            at + 4,
            ((base & 0xff000000) | (flags << 20) | (limit & 0xf0000) | (access << 8) | ((base >>> 16) & 0xff)) >>> 0,
        );
    }

    /** Writes an 8-byte gate. */
    gate(at: number, selector: number, offset: number, access: number, count = 0): void {
        this.poke32(at, ((selector << 16) | (offset & 0xffff)) >>> 0);
        this.poke32(at + 4, ((offset & 0xffff0000) | (access << 8) | count) >>> 0);
    }

    /** Writes a 16-byte gate of long mode. */
    longGate(at: number, selector: number, offset: bigint, access: number, ist = 0): void {
        this.gate(at, selector, Number(offset & 0xffffffffn), access, ist);
        this.poke32(at + 8, Number(offset >> 32n));
        this.poke32(at + 12, 0);
    }

    // ---- modes -----------------------------------------------------------------------------------------------

    /** Sets a segment register with its hidden part. */
    load(segment: number, selector: number, base: number, limit: number, access: number, flags: number): void {
        this.cpu.setSegment(segment, selector, base, 0, limit, access | (flags << 12));
        this.cpu.updateMode();
    }

    /** Real mode at 0000:0100 with a stack at 0000:7C00. */
    realMode(): this {
        for (const segment of [0, 1, 2, 3, 4, 5]) this.load(segment, 0, 0, 0xffff, segment === 1 ? 0x9b : 0x93, 0);
        this.cpu.setGpr32(4, 0x7c00);
        this.cpu.setRip(0x100, 0);
        this.cpu.setLo(StateOffset.idtrLimit, 0x3ff);
        return this;
    }

    private buildTables(tssAccess: number): void {
        this.describe(Selector.Code0, 0, 0xfffff, CODE0, FLAT32);
        this.describe(Selector.Data0, 0, 0xfffff, DATA0, FLAT32);
        this.describe(Selector.Code3, 0, 0xfffff, CODE3, FLAT32);
        this.describe(Selector.Data3, 0, 0xfffff, DATA3, FLAT32);
        this.describe(Selector.Code64, 0, 0xfffff, CODE0, FLAT64);
        this.describe(Selector.Code64User, 0, 0xfffff, CODE3, FLAT64);
        this.describe(Selector.Tss, TSS, 0xfff, tssAccess, 0);
        this.cpu.set(StateOffset.gdtrBase, GDT, 0);
        this.cpu.setLo(StateOffset.gdtrLimit, 0xfff);
        this.cpu.set(StateOffset.idtrBase, IDT, 0);
        this.cpu.setLo(StateOffset.idtrLimit, 0xfff);
        this.cpu.setSegment(7, Selector.Tss, TSS, 0, 0xfff, tssAccess);
        this.cpu.setSegment(6, 0, 0, 0, 0, SegmentAttribute.Unusable);
    }

    /** Flat 32-bit protected mode at EIP 1000h with ESP 8000h; a 32-bit TSS whose SS0:ESP0 is 10h:9000h. */
    protect(cpl: 0 | 3 = 0): this {
        this.cpu.setLo(StateOffset.cr0, 0x11);
        this.buildTables(0x8b);
        this.poke32(TSS + 4, 0x9000);
        this.poke32(TSS + 8, Selector.Data0);
        this.setFlat(cpl);
        this.cpu.setGpr32(4, 0x8000);
        this.cpu.setRip(0x1000, 0);
        return this;
    }

    /** Flat 32-bit segments of a privilege level. */
    setFlat(cpl: 0 | 3): void {
        const dpl = cpl << 5;
        const [code, data] = cpl === 0 ? [Selector.Code0, Selector.Data0] : [Selector.Code3, Selector.Data3];
        for (const segment of [0, 2, 3, 4, 5]) this.load(segment, data, 0, 0xffffffff, 0x93 | dpl, FLAT32);
        this.load(1, code, 0, 0xffffffff, 0x9b | dpl, FLAT32);
    }

    /** Virtual-8086 mode at 1000:0100 with a stack at 2000:0200, below a 32-bit protected mode. */
    virtual8086(iopl: 0 | 3 = 3): this {
        this.protect(0);
        for (const segment of [0, 1, 2, 3, 4, 5]) {
            const selector = segment === 1 ? 0x1000 : segment === 2 ? 0x2000 : 0x100 * segment;
            this.load(segment, selector, selector << 4, 0xffff, 0xf3, 0);
        }
        this.cpu.writeFlags(0x20002 | (iopl << 12));
        this.cpu.setGpr32(4, 0x200);
        this.cpu.setRip(0x100, 0);
        return this;
    }

    /** 64-bit mode, the first 1 GiB mapped one to one with 2 MiB user pages; RSP0 is 9000h, IST1 A000h. */
    enterLongMode(cpl: 0 | 3 = 0): this {
        this.poke64(PML4, BigInt(PML4 + 0x1000) | 7n);
        this.poke64(PML4 + 0x1000, BigInt(PML4 + 0x2000) | 7n);
        for (let index = 0; index < 512; index++)
            this.poke64(PML4 + 0x2000 + index * 8, BigInt(index * 0x200000) | 0xe7n);
        const cpu = this.cpu;
        cpu.setLo(StateOffset.cr3, PML4);
        cpu.setLo(StateOffset.cr4, 0x20);
        cpu.setLo(StateOffset.efer, 0xd01);
        cpu.setLo(StateOffset.cr0, 0x80010011);
        this.buildTables(0x8b);
        this.poke64(TSS + 4, 0x9000n);
        this.poke64(TSS + 0x24, 0xa000n);
        this.setFlat(cpl);
        const dpl = cpl << 5;
        this.load(1, cpl === 0 ? Selector.Code64 : Selector.Code64User, 0, 0xffffffff, 0x9b | dpl, FLAT64);
        cpu.mmu.flushAll();
        cpu.setGpr(4, 0x8000, 0);
        cpu.setRip(0x1000, 0);
        return this;
    }

    // ---- execution -------------------------------------------------------------------------------------------

    decode(bytes: readonly number[]): Instruction {
        const size = (16 << (this.cpu.mode & ModeKey.CodeSizeMask)) as CodeSize;
        const window = Uint8Array.from([...bytes, ...new Array<number>(16).fill(0)]);
        const instruction = decode(window, 0, window.length, size);
        if (typeof instruction === 'number') throw new Error(`cannot decode ${bytes}`);
        assert.equal(instruction.length, bytes.length, 'length of the instruction');
        return instruction;
    }

    /** Executes one system instruction. */
    execute(...bytes: number[]): void {
        executeSystem(this.cpu, this.decode(bytes));
        this.instructions++;
    }

    /** Executes one system instruction that has to fault, and checks that registers and RIP stay as they were. */
    fault(...bytes: number[]): Fault {
        const before = this.snapshot();
        const fault = this.catch(() => this.execute(...bytes));
        assert.deepEqual(this.snapshot(), before, 'a faulting instruction changes nothing');
        return fault;
    }

    expectFault(vector: Vector, errorCode: number, ...bytes: number[]): void {
        const fault = this.fault(...bytes);
        assert.deepEqual([fault.vector, fault.errorCode], [vector, errorCode]);
    }

    catch(action: () => void): Fault {
        try {
            action();
        } catch (error) {
            if (!(error instanceof GuestFault)) throw error;
            const { vector, errorCode, addressLo, addressHi } = error;
            return { vector, errorCode, address: (BigInt(addressHi) << 32n) | BigInt(addressLo) };
        }
        return assert.fail('no fault');
    }

    private snapshot(): unknown {
        return { ...this.cpu.save().fields };
    }

    get rip(): bigint {
        return this.cpu.get64(StateOffset.rip);
    }

    get rsp(): bigint {
        return this.cpu.gpr64(4);
    }

    /** The hidden part of a segment register, for comparisons. */
    hidden(segment: number): { selector: number; base: number; limit: number; attributes: number } {
        const at = segmentOffset(segment);
        return {
            selector: this.cpu.selector(segment),
            base: this.cpu.lo(at + SegmentOffset.base),
            limit: this.cpu.segmentLimit(segment),
            attributes: this.cpu.segmentAttributes(segment),
        };
    }

    /** Words, doublewords or quadwords at the top of a stack. */
    stack(address: number, size: 2 | 4 | 8, count: number): number[] {
        return Array.from({ length: count }, (_, index) => {
            const at = address + index * size;
            return size === 2 ? this.peek16(at) : size === 4 ? this.peek32(at) : Number(this.peek64(at));
        });
    }
}

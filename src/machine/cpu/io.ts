/** Port I/O (SDM Vol. 1, chapter 19; Vol. 2, IN, INS, OUT, OUTS). */

import { Gpr, type Instruction, type Operand, OperandKind, RepeatPrefix, Segment } from '../../isa/x86/instruction';
import { Flag, ModeKey, SegmentAttribute, StateOffset, SystemSegment } from '../state';
import { matchIoBreakpoints } from './breakpoints';
import { hasTss32, tssAddressHi, tssAddressLo } from './code-segment';
import type { Cpu } from './cpu';
import { raise, Vector } from './fault';
import { advance, linear, readMemory, segmentLinear, value, writeMemory } from './operands';
import type { OperationTable } from './operation';

/** Iterations of a repeated INS or OUTS in one go; the run loop looks for interrupts in between. */
const CHUNK = 256;

/** Offset of the I/O map base in a 32- or 64-bit TSS. */
const TSS_IO_MAP_BASE = 0x66;

/** IOPL, or the permission bitmap of the TSS (SDM Vol. 1, 19.5). @throws GuestFault #GP(0) */
export function checkPortAccess(cpu: Cpu, port: number, size: number): void {
    if ((cpu.mode & ModeKey.Protected) === 0) return;
    if (!cpu.virtual8086 && cpu.cpl <= cpu.iopl) return;
    const limit = cpu.segmentLimit(SystemSegment.Tr);
    const present = (cpu.segmentAttributes(SystemSegment.Tr) & SegmentAttribute.Present) !== 0;
    if (!present || !hasTss32(cpu) || limit < TSS_IO_MAP_BASE + 1) raise(Vector.GP);
    const mode = cpu.implicitMmuMode;
    const base = cpu.memory.read16(tssAddressLo(cpu, TSS_IO_MAP_BASE), tssAddressHi(cpu, TSS_IO_MAP_BASE), mode);
    const at = base + (port >> 3);
    // Two bytes are always read, so that an access over a byte's edge is covered.
    if (at + 1 > limit) raise(Vector.GP);
    const bits = cpu.memory.read16(tssAddressLo(cpu, at), tssAddressHi(cpu, at), mode);
    if ((bits >> (port & 7)) & ((1 << size) - 1)) raise(Vector.GP);
}

function portOf(cpu: Cpu, instruction: Instruction, operand: Operand): number {
    return operand.kind === OperandKind.Immediate ? instruction.immediate & 0xff : cpu.gpr(Gpr.Rdx) & 0xffff;
}

function input(cpu: Cpu, instruction: Instruction): void {
    const [destination, source] = instruction.operands;
    const size = destination.size > 4 ? 4 : destination.size;
    const port = portOf(cpu, instruction, source);
    checkPortAccess(cpu, port, size);
    const data = cpu.hooks.ports.read(port, size);
    if (size === 1) cpu.bytes[0] = data;
    else if (size === 2) cpu.setGpr16(Gpr.Rax, data);
    else cpu.setGpr32(Gpr.Rax, data);
    advance(cpu, instruction);
    cpu.pendDebug(matchIoBreakpoints(cpu, port, size));
}

function output(cpu: Cpu, instruction: Instruction): void {
    const [destination, source] = instruction.operands;
    const size = source.size > 4 ? 4 : source.size;
    const port = portOf(cpu, instruction, destination);
    checkPortAccess(cpu, port, size);
    const data = cpu.gpr(Gpr.Rax);
    // The device may stop the machine: RIP is behind the instruction by then.
    advance(cpu, instruction);
    cpu.pendDebug(matchIoBreakpoints(cpu, port, size));
    cpu.hooks.ports.write(port, size, size === 4 ? data : data & (size === 1 ? 0xff : 0xffff));
}

/** Offset in rSI or rDI, as wide as the address size. */
function indexOffset(cpu: Cpu, register: Gpr, width: number): void {
    linear.lo = width === 16 ? cpu.gpr(register) & 0xffff : cpu.gpr(register);
    linear.hi = width === 64 ? cpu.gprHi(register) : 0;
}

function step(cpu: Cpu, register: Gpr, width: number, distance: number): void {
    if (width === 16) {
        cpu.setGpr16(register, cpu.gpr(register) + distance);
        return;
    }
    const sum = cpu.gpr(register) + distance;
    if (width === 32) cpu.setGpr32(register, sum);
    else cpu.setGpr(register, sum >>> 0, (cpu.gprHi(register) + Math.floor(sum / 0x100000000)) >>> 0);
}

/** Repeats a single transfer as the prefix says; leaves RIP here if there is more to do than one chunk. */
function repeated(cpu: Cpu, instruction: Instruction, transfer: () => void): void {
    if (instruction.repeat === RepeatPrefix.None) {
        transfer();
        advance(cpu, instruction);
        return;
    }
    const width = instruction.addressSize;
    const remaining = (): boolean => {
        if (width === 16) return (cpu.gpr(Gpr.Rcx) & 0xffff) !== 0;
        return cpu.gpr(Gpr.Rcx) !== 0 || (width === 64 && cpu.gprHi(Gpr.Rcx) !== 0);
    };
    // Every iteration can be traced, and ends with the breakpoints it hit.
    const limit = cpu.systemFlags & Flag.TF ? 1 : CHUNK;
    for (let done = 0; remaining(); done++) {
        if (done === limit || (done > 0 && cpu.lo(StateOffset.pendingDebug) !== 0)) {
            cpu.hooks.attention();
            return;
        }
        transfer();
        step(cpu, Gpr.Rcx, width, -1);
    }
    advance(cpu, instruction);
}

function inputString(cpu: Cpu, instruction: Instruction): void {
    const size = instruction.operands[0].size;
    const width = instruction.addressSize;
    const port = cpu.gpr(Gpr.Rdx) & 0xffff;
    const mode = cpu.mmuModeOf(cpu.cpl);
    repeated(cpu, instruction, () => {
        checkPortAccess(cpu, port, size);
        indexOffset(cpu, Gpr.Rdi, width);
        segmentLinear(cpu, Segment.Es, linear.lo, linear.hi, size, true);
        const { lo, hi } = linear;
        // Reading a port has effects: the store must not fault afterwards.
        cpu.memory.probeWrite(lo, hi, size, mode);
        const data = cpu.hooks.ports.read(port, size);
        writeMemory(cpu, lo, hi, size, data, 0, mode);
        step(cpu, Gpr.Rdi, width, cpu.systemFlags & Flag.DF ? -size : size);
        cpu.pendDebug(matchIoBreakpoints(cpu, port, size));
    });
}

function outputString(cpu: Cpu, instruction: Instruction): void {
    const size = instruction.operands[1].size;
    const width = instruction.addressSize;
    const port = cpu.gpr(Gpr.Rdx) & 0xffff;
    const mode = cpu.mmuModeOf(cpu.cpl);
    repeated(cpu, instruction, () => {
        checkPortAccess(cpu, port, size);
        indexOffset(cpu, Gpr.Rsi, width);
        segmentLinear(cpu, instruction.segment, linear.lo, linear.hi, size, false);
        readMemory(cpu, linear.lo, linear.hi, size, mode);
        cpu.hooks.ports.write(port, size, value.lo);
        step(cpu, Gpr.Rsi, width, cpu.systemFlags & Flag.DF ? -size : size);
        cpu.pendDebug(matchIoBreakpoints(cpu, port, size));
    });
}

export const IO_INSTRUCTIONS: OperationTable = {
    IN: input,
    OUT: output,
    INS: inputString,
    OUTS: outputString,
};

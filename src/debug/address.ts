/** Addresses as the debugger handles them: bigint, with the space that they are in. */
import { type CodeSize, Segment } from '../isa/x86/instruction';
import type { CpuState } from '../machine/cpu/cpu-state';
import { ModeKey } from '../machine/state';
import { TargetError } from './errors';
import type { AddressSpace } from './expression/value';

export interface Address {
    readonly space: AddressSpace;
    readonly offset: bigint;
}

const PHYSICAL_PREFIX = 'phys:';

/** `0xffff800000001000` or `phys:0x1000`: the text that stands for an address in references to memory. */
export function formatAddress({ space, offset }: Address): string {
    return `${space === 'physical' ? PHYSICAL_PREFIX : ''}0x${offset.toString(16)}`;
}

/** The address that {@link formatAddress} wrote, or a plain number; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
    const physical = text.startsWith(PHYSICAL_PREFIX);
    const digits = physical ? text.slice(PHYSICAL_PREFIX.length) : text;
    if (!/^(?:0x[0-9a-f]{1,16}|\d{1,20})$/i.test(digits)) {
        return undefined;
    }
    return { space: physical ? 'physical' : 'linear', offset: BigInt.asUintN(64, BigInt(digits)) };
}

/** A linear address as the processor wants it. */
export function halves(address: bigint): readonly [lo: number, hi: number] {
    return [Number(address & 0xffffffffn), Number((address >> 32n) & 0xffffffffn)];
}

/**
 * The linear address of an offset in a segment (SDM Vol. 3, 3.4). In 64-bit code only FS and GS have bases; elsewhere
 * linear addresses are 32 bits wide.
 */
export function segmentLinear(state: CpuState, segment: number, offset: bigint): bigint {
    if (state.code64) {
        const base =
            segment < Segment.Fs
                ? 0n
                : (BigInt(state.segmentBaseHi(segment)) << 32n) | BigInt(state.segmentBase(segment));
        return BigInt.asUintN(64, base + offset);
    }
    return BigInt.asUintN(32, BigInt(state.segmentBase(segment)) + offset);
}

/**
 * The offset in the code segment that a linear address is at.
 * @throws TargetError if the instruction pointer, as wide as the code is, does not get there
 */
export function codeOffset(state: CpuState, linear: bigint): bigint {
    const base = segmentLinear(state, Segment.Cs, 0n);
    const size = codeSize(state);
    const offset = BigInt.asUintN(size, linear - base);
    if (segmentLinear(state, Segment.Cs, offset) !== linear) {
        throw new TargetError(
            `0x${linear.toString(16)} cannot be reached: ${size}-bit code goes on in its segment, ` +
                `which begins at 0x${base.toString(16)}`,
        );
    }
    return offset;
}

/** Width of the code that the vCPU is executing. */
export function codeSize(state: CpuState): CodeSize {
    return (16 << (state.mode & ModeKey.CodeSizeMask)) as CodeSize;
}

/** Width of its stack pointer. */
export function stackSize(state: CpuState): CodeSize {
    return (16 << ((state.mode >> ModeKey.StackSizeShift) & 3)) as CodeSize;
}

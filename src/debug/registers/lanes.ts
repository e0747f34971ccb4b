/** Vector registers lane by lane: `xmm3.u16.5`, `xmm0.f64.1`, lane 0 in the lowest bits. */
import type { Cpu } from '../../machine/cpu/cpu';
import type { Register } from './register';

export type LaneKind = 'u' | 'i' | 'f';

/** How a lane is read: unsigned, signed or floating-point, and how many bits it has. */
export interface LaneType {
    readonly kind: LaneKind;
    readonly width: 8 | 16 | 32 | 64;
}

const scratch = new DataView(new ArrayBuffer(8));

/** `u16`, `f64`; undefined if there is no such view. */
export function parseLaneType(text: string): LaneType | undefined {
    const match = /^([uif])(8|16|32|64)$/.exec(text);
    if (match === null || (match[1] === 'f' && Number(match[2]) < 32)) {
        return undefined;
    }
    return { kind: match[1] as LaneKind, width: Number(match[2]) as LaneType['width'] };
}

/** The bits of a lane as the number that they are. */
export function formatLane({ kind, width }: LaneType, bits: bigint): string {
    if (kind === 'f') {
        if (width === 32) {
            scratch.setUint32(0, Number(bits));
            return formatFloat(scratch.getFloat32(0));
        }
        scratch.setBigUint64(0, bits);
        return formatFloat(scratch.getFloat64(0));
    }
    return (kind === 'i' ? BigInt.asIntN(width, bits) : bits).toString();
}

function formatFloat(value: number): string {
    return Object.is(value, -0) ? '-0' : `${value}`;
}

/** The bits of a floating-point lane that holds a number. */
export function laneBits({ width }: LaneType, value: number): bigint {
    if (width === 32) {
        scratch.setFloat32(0, value);
        return BigInt(scratch.getUint32(0));
    }
    scratch.setFloat64(0, value);
    return scratch.getBigUint64(0);
}

/** The bits of one lane of a register's value. */
export function laneOf(value: bigint, { width }: LaneType, index: number): bigint {
    return BigInt.asUintN(width, value >> BigInt(index * width));
}

/** A lane as a register of its own; undefined if the name is none of a lane of `whole`. */
export function laneRegister(whole: Register, name: string): Register | undefined {
    const match = /^([uif]\d+)\.(\d{1,2})$/.exec(name.slice(whole.name.length + 1));
    const type = match === null ? undefined : parseLaneType(match[1]);
    const index = Number(match?.[2]);
    if (type === undefined || index >= whole.width / type.width) {
        return undefined;
    }
    const shift = BigInt(index * type.width);
    const mask = ((1n << BigInt(type.width)) - 1n) << shift;
    const { write } = whole;
    return {
        name,
        width: type.width,
        format: 'hex',
        read: cpu => laneOf(whole.read(cpu), type, index),
        write: write && ((cpu: Cpu, value) => write(cpu, (whole.read(cpu) & ~mask) | (value << shift))),
        describe: (_cpu, value) => formatLane(type, value),
    };
}

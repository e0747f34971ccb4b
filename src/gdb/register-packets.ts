/** Packets about registers: `g`, `G`, `p`, `P` and the values in stop replies. */
import type { DebugTarget } from '../debug/target';
import { Failure, OK } from './answers';
import {
    decodeRegister,
    encodeRegister,
    EXPEDITED,
    type Architecture,
    registerCount,
    WIRE_REGISTERS,
    type WireRegister,
} from './register-layout';
import { parseCount } from './text';

const EXPEDITED_NAMES = EXPEDITED.map(number => WIRE_REGISTERS[number].register);

export class RegisterPackets {
    private readonly known: readonly WireRegister[];

    constructor(
        private readonly target: DebugTarget,
        architecture: Architecture,
    ) {
        this.known = WIRE_REGISTERS.slice(0, registerCount(architecture));
    }

    /** `number:value` of those that each stop reply tells. */
    async expedited(vcpu: number): Promise<string[]> {
        const values = await this.target.registerValues(vcpu, EXPEDITED_NAMES);
        return EXPEDITED.map((number, index) => {
            const text = encodeRegister(WIRE_REGISTERS[number], values[index]);
            return `${number.toString(16).padStart(2, '0')}:${text}`;
        });
    }

    private values(vcpu: number): Promise<(bigint | undefined)[]> {
        return this.target.registerValues(
            vcpu,
            this.known.map(({ register }) => register),
        );
    }

    async readAll(vcpu: number): Promise<string> {
        const values = await this.values(vcpu);
        return this.known.map((register, number) => encodeRegister(register, values[number])).join('');
    }

    async read(vcpu: number, text: string): Promise<string> {
        const number = parseCount(text, this.known.length - 1);
        if (number === undefined) {
            return Failure.Invalid;
        }
        const register = this.known[number];
        const [value] = await this.target.registerValues(vcpu, [register.register]);
        return encodeRegister(register, value);
    }

    async write(vcpu: number, text: string): Promise<string> {
        const match = /^([0-9a-f]+)=([0-9a-f]+)$/i.exec(text);
        const number = match === null ? undefined : parseCount(match[1], this.known.length - 1);
        if (match === null || number === undefined) {
            return Failure.Invalid;
        }
        const value = decodeRegister(this.known[number], match[2]);
        if (value === undefined) {
            return Failure.Invalid;
        }
        // Some cannot be written at all, and gdb writes back all that it has saved around a call.
        const register = this.known[number];
        const [before] = await this.target.registerValues(vcpu, [register.register]);
        if (value !== masked(register, before)) {
            await this.store(vcpu, number, value);
        }
        return OK;
    }

    /** Writes those that have changed. */
    async writeAll(vcpu: number, text: string): Promise<string> {
        const before = await this.values(vcpu);
        const changed: [number, bigint][] = [];
        let at = 0;
        for (let number = 0; number < this.known.length && at < text.length; number++) {
            const register = this.known[number];
            const digits = text.slice(at, at + 2 * register.size);
            at += 2 * register.size;
            if (/^x+$/.test(digits)) continue;
            const value = decodeRegister(register, digits);
            if (value === undefined) {
                return Failure.Invalid;
            }
            if (value !== masked(register, before[number])) changed.push([number, value]);
        }
        if (at !== text.length) {
            return Failure.Invalid;
        }
        for (const [number, value] of changed) {
            await this.store(vcpu, number, value);
        }
        return OK;
    }

    private async store(vcpu: number, number: number, value: bigint): Promise<void> {
        if (this.known[number].register === 'pc') {
            await this.target.setProgramCounter(vcpu, value);
        } else {
            await this.target.writeRegister(vcpu, this.known[number].register, value);
        }
    }
}

function masked({ size }: WireRegister, value: bigint | undefined): bigint | undefined {
    return value === undefined ? undefined : BigInt.asUintN(size * 8, value);
}

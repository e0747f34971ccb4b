/** Registers as their view shows them: in a base, lane by lane, with what changed since the stop before. */
import { formatAddress } from '../debug/address';
import { formatLane, laneOf, type LaneType } from '../debug/registers/lanes';
import type { RegisterGroupView, RegisterView } from '../debug/registers/register-file';
import type { NumberBase, RegisterGroupItem, RegisterItem } from '../messages/registers';
import { hex } from './hex';

export interface RegistersPresentation {
    readonly base: NumberBase;
    readonly lanes: LaneType;
}

/** Values by name, of one vCPU at one stop. */
export type RegisterValues = ReadonlyMap<string, bigint>;

/** Registers with lanes. */
const VECTOR = /^[xyz]mm\d+$/;

const DIGITS: Readonly<Record<NumberBase, { readonly radix: number; readonly prefix: string }>> = {
    hex: { radix: 16, prefix: '0x' },
    decimal: { radix: 10, prefix: '' },
    binary: { radix: 2, prefix: '0b' },
};

/** As many digits as the width takes; small fields are plain numbers in every base but binary. */
export function formatBits(value: bigint, width: number, base: NumberBase): string {
    if (width === 1 || (width < 8 && base !== 'binary')) {
        return value.toString();
    }
    const { radix, prefix } = DIGITS[base];
    const digits = base === 'decimal' ? 1 : base === 'hex' ? Math.ceil(width / 4) : width;
    return prefix + value.toString(radix).padStart(digits, '0');
}

/** Values of all registers and their parts: what the next stop is compared with. */
export function collectValues(groups: readonly RegisterGroupView[]): RegisterValues {
    const values = new Map<string, bigint>();
    const add = (view: RegisterView): void => {
        if (view.problem === undefined) values.set(view.name, view.value);
        view.parts?.forEach(add);
    };
    groups.forEach(group => group.registers.forEach(add));
    return values;
}

export class RegistersPresenter {
    /**
     * @param before at the stop before; undefined at the first one
     * @param symbol what a linear address is called
     */
    constructor(
        private readonly presentation: RegistersPresentation,
        private readonly before: RegisterValues | undefined,
        private readonly symbol: (linear: bigint) => string | undefined,
    ) {}

    groups(groups: readonly RegisterGroupView[]): RegisterGroupItem[] {
        return groups.map(({ name, registers }) => ({
            name,
            registers: registers.map(register => this.item(register)),
        }));
    }

    item(view: RegisterView, label = view.name): RegisterItem {
        const { name, value, width, writable, description, address, problem } = view;
        if (problem !== undefined) {
            return { name, label, width, value: hex(0n), text: '?', description: problem, writable, problem };
        }
        const { base } = this.presentation;
        const old = this.before?.get(name);
        return {
            name,
            label,
            width,
            value: hex(value),
            text: formatBits(value, width, base),
            description,
            symbol: address?.space === 'linear' && value !== 0n ? this.symbol(address.offset) : undefined,
            memoryReference: address && formatAddress(address),
            writable,
            changed:
                old === undefined || old === value
                    ? undefined
                    : { value: hex(old), text: formatBits(old, width, base) },
            parts: VECTOR.test(name)
                ? this.lanes(view, value, old)
                : view.parts?.map(part => this.item(part, labelOf(part.name, name))),
        };
    }

    private lanes({ name, width, writable }: RegisterView, value: bigint, old: bigint | undefined): RegisterItem[] {
        const { lanes } = this.presentation;
        return Array.from({ length: width / lanes.width }, (_, index) => {
            const bits = laneOf(value, lanes, index);
            const oldBits = old === undefined ? bits : laneOf(old, lanes, index);
            return {
                name: `${name}.${lanes.kind}${lanes.width}.${index}`,
                label: `[${index}]`,
                width: lanes.width,
                value: hex(bits),
                text: this.lane(bits),
                writable,
                changed: oldBits === bits ? undefined : { value: hex(oldBits), text: this.lane(oldBits) },
            };
        });
    }

    /** Signed and floating-point lanes are numbers; unsigned ones are shown in the base. */
    private lane(bits: bigint): string {
        const { base, lanes } = this.presentation;
        return lanes.kind === 'u' ? formatBits(bits, lanes.width, base) : formatLane(lanes, bits);
    }
}

/** `cr0.wp` below `cr0` is `WP`: short names are the manual's, others words. */
function labelOf(name: string, parent: string): string {
    const part = name.startsWith(`${parent}.`) ? name.slice(parent.length + 1) : name;
    return WORDS.has(part) ? part : part.toUpperCase();
}

const WORDS: ReadonlySet<string> = new Set(['base', 'limit', 'attributes', 'type', 'mask', 'unusable', 'fast_strings']);

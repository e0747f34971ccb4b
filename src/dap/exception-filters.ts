/** Exceptions and other machine events as DAP's exception filters. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { parseEventCondition } from '../debug/events/event-condition';
import { type EventFilter, oneCause } from '../debug/events/event-stops';
import { ExpressionError } from '../debug/expression/error';
import { FAULT_VECTORS, vectorName, vectorTitle } from '../debug/faults';
import { MACHINE_EVENT_BY_NAME, type MachineEventName } from '../machine/observation/kinds';

const TRIPLE_FAULT = 'tripleFault';

const BREAKPOINT_VECTOR = 3;
const OVERFLOW_VECTOR = 4;
const DOUBLE_FAULT_VECTOR = 8;

interface FilterRow {
    readonly id: string;
    readonly label: string;
    readonly description: string;
    readonly kind: MachineEventName;
    readonly cause?: number;
    /** Examples of what a condition may say. */
    readonly condition: string;
}

const ANYWHERE = 'registers, memory and symbols work too, such as cpl == 3';

function exception(vector: number, when: string): FilterRow {
    const name = vectorName(vector);
    const fields = vector === 14 ? "'address == 0x18', 'error & 2' (a write), or a list of addresses" : "'error != 0'";
    return {
        id: name.slice(1).toLowerCase(),
        label: `${name} ${vectorTitle(vector)}`,
        description: `Stops at the instruction that raises ${name}, ${when}`,
        kind: 'exception',
        cause: vector,
        condition: `Expression such as ${fields}; ${ANYWHERE}`,
    };
}

function softwareException(vector: number, instruction: string): FilterRow {
    const name = vectorName(vector);
    return {
        id: name.slice(1).toLowerCase(),
        label: `${name} ${vectorTitle(vector)}`,
        description: `Stops at ${instruction}, before its handler`,
        kind: 'softwareInterrupt',
        cause: vector,
        condition: `Expression over ${ANYWHERE}`,
    };
}

function controlWrite(register: number, example: string): FilterRow {
    return {
        id: `cr${register}Write`,
        label: `CR${register} write`,
        description: `Stops behind the instruction that writes CR${register}`,
        kind: 'crWrite',
        cause: register,
        condition: `Expression such as '${example}', or a list of values; ${ANYWHERE}`,
    };
}

function other(id: MachineEventName, label: string, where: string, fields: string): FilterRow {
    return {
        id,
        label,
        description: `Stops ${where}`,
        kind: id,
        condition: `Expression such as ${fields}; ${ANYWHERE}`,
    };
}

const ROWS: readonly FilterRow[] = [
    ...FAULT_VECTORS.map(vector => exception(vector, 'before the guest handles it')),
    exception(DOUBLE_FAULT_VECTOR, 'before the guest handles it: at the instruction whose exception found no handler'),
    softwareException(BREAKPOINT_VECTOR, 'INT3'),
    softwareException(OVERFLOW_VECTOR, 'an INTO that is taken'),
    other(
        'softwareInterrupt',
        'Software interrupt',
        'at INT n, INT3, INTO or INT1, before its handler',
        "'vector == 0x80', or a list of vectors such as 0x10, 0x13-0x16",
    ),
    other(
        'externalInterrupt',
        'Interrupt delivered',
        "at the first instruction of the interrupt's handler",
        "'vector == 0x20', or a list of vectors such as 0x20-0x2f",
    ),
    other('nmi', 'NMI delivered', 'at the first instruction of its handler', "'vcpu == 0'"),
    other(
        'ipi',
        'Interprocessor interrupt sent',
        'behind the instruction that sends it',
        "'vector == 0xfd && destination == 1' or 'mode == 5' (INIT), or a list of vectors",
    ),
    other(
        'modeSwitch',
        'Mode switch',
        'behind the instruction that switches between real, protected, compatibility and 64-bit mode, or paging',
        "'to == long', 'from == real', 'paging && !wasPaging'",
    ),
    controlWrite(0, 'value & 0x80000000'),
    controlWrite(3, 'value >> 12 == 0x1a30'),
    controlWrite(4, '(value ^ old) & 0x20'),
    controlWrite(8, 'value == 0'),
    other('msrRead', 'MSR read', 'behind RDMSR', "'msr == 0xc0000080', or a list of MSRs such as 0x1b, 0x800-0x8ff"),
    other(
        'msrWrite',
        'MSR write',
        'behind WRMSR',
        "'msr == 0xc0000080 && value & 0x400', or a list of MSRs such as 0x1b, 0x800-0x8ff",
    ),
    other(
        'portIn',
        'Port read',
        'behind the IN or INS that reads the port',
        "'port == 0x60 && value == 0x1e', or a list of ports such as 0x3f8, 0x60-0x64",
    ),
    other(
        'portOut',
        'Port write',
        'behind the OUT or OUTS that writes the port',
        "'port == 0x3f8 && value == 0x41', or a list of ports such as 0x3f8, 0x60-0x64",
    ),
    other(
        'mmioRead',
        'MMIO read',
        'behind the instruction that reads a device register',
        "'address >= 0xfee00000', or a list of physical addresses such as 0xfec00000-0xfec00fff",
    ),
    other(
        'mmioWrite',
        'MMIO write',
        'behind the instruction that writes a device register',
        "'address == 0xfee00380 && value == 0', or a list of physical addresses such as 0xfee00300-0xfee00310",
    ),
    other(
        'cpuid',
        'CPUID',
        'behind CPUID',
        "'leaf == 7 && subleaf == 0', or a list of leaves such as 0, 0x80000000-0x80000008",
    ),
    other('hlt', 'HLT', 'behind HLT, before anything wakes the vCPU', "'vcpu == 0'"),
    other('mwait', 'MWAIT', 'behind MWAIT, before anything wakes the vCPU', "'vcpu == 0'"),
    other(
        'reset',
        'Reset',
        'behind the instruction by which the guest resets the machine, before that happens',
        "'vcpu == 0'",
    ),
    other('powerOff', 'Power-off', 'behind the instruction by which the guest switches the machine off', "'vcpu == 0'"),
];

const ROW_BY_ID: ReadonlyMap<string, FilterRow> = new Map(ROWS.map(row => [row.id, row]));

export const EXCEPTION_FILTERS: readonly DebugProtocol.ExceptionBreakpointsFilter[] = [
    {
        filter: TRIPLE_FAULT,
        label: 'Triple fault',
        description: 'Stops where the processor shuts down because exceptions could not be delivered',
        default: true,
    },
    ...ROWS.map(({ id, label, description, condition }) => ({
        filter: id,
        label,
        description,
        default: false,
        supportsCondition: true,
        conditionDescription: condition,
    })),
];

/** The filter that stops at a kind of event, whatever its cause. */
export function filterOfKind(kind: MachineEventName): { readonly id: string; readonly condition: string } | undefined {
    return ROWS.find(row => row.kind === kind && row.cause === undefined);
}

export interface ChosenFilter {
    readonly filter: string;
    readonly condition?: string;
}

/** Filters as the target takes them. */
export interface EventChoice {
    readonly tripleFault: boolean;
    readonly filters: readonly EventFilter[];
    /** For each chosen filter its index in `filters`, or what is wrong with it; undefined for the triple fault. */
    readonly places: readonly (number | string | undefined)[];
}

export function readFilters(chosen: readonly ChosenFilter[]): EventChoice {
    const filters: EventFilter[] = [];
    let tripleFault = false;
    const places = chosen.map(({ filter, condition }) => {
        if (filter === TRIPLE_FAULT) {
            tripleFault = true;
            return undefined;
        }
        const row = ROW_BY_ID.get(filter);
        if (row === undefined) {
            return `there is no exception filter '${filter}'`;
        }
        return filters.push({ kind: row.kind, cause: row.cause, condition }) - 1;
    });
    return { tripleFault, filters, places };
}

/** What is wrong with a filter as far as it can be told without a guest. */
export function problemWithoutGuest({ kind, cause, condition }: EventFilter): string | undefined {
    try {
        if (condition !== undefined && condition.trim() !== '') {
            parseEventCondition(condition, MACHINE_EVENT_BY_NAME.get(kind)!, oneCause(cause), undefined);
        }
        return undefined;
    } catch (error) {
        if (error instanceof ExpressionError) return error.message;
        throw error;
    }
}

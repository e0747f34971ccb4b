/** Stops at a Linux kernel's panic and oops, as exception filters: breakpoints at the functions that begin them. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { DebugTarget, Stop } from '../debug/target';
import { HyperscopeError } from '../common/errors';
import { describeFailure, FAILURE_FUNCTIONS, type FailureKind } from '../linux/failures';
import { RequestArguments } from './arguments';
import { type BreakpointPlace, type BreakpointStore, locateFunction } from './breakpoint-store';
import type { ChosenFilter } from './exception-filters';
import { InspectionContext } from './inspection-context';
import { LinuxContext } from './linux-context';
import type { SessionContext } from './session-context';

const FILTERS: Readonly<Record<string, FailureKind>> = { linuxPanic: 'panic', linuxOops: 'oops' };

const TITLES: Readonly<Record<FailureKind, string>> = { panic: 'Linux panic', oops: 'Linux oops' };

const CONDITION = 'Expression over registers, memory and symbols, such as cpl == 0';

export const LINUX_FILTERS: readonly DebugProtocol.ExceptionBreakpointsFilter[] = [
    {
        filter: 'linuxPanic',
        label: TITLES.panic,
        description: 'Stops where a Linux kernel begins to panic, and says why',
        default: true,
        supportsCondition: true,
        conditionDescription: CONDITION,
    },
    {
        filter: 'linuxOops',
        label: TITLES.oops,
        description: 'Stops where a Linux kernel has met an error of its own, and says which',
        default: true,
        supportsCondition: true,
        conditionDescription: CONDITION,
    },
];

const SCOPE = 'linux';
/** Whatever else has a function of such a name is not meant. */
const LINUX_SYMBOL = 'linux_banner';
const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9', 'rsp'];

export function isLinuxFilter({ filter }: ChosenFilter): boolean {
    return Object.hasOwn(FILTERS, filter);
}

export class LinuxStops {
    private kinds = new Map<number, FailureKind>();
    private readonly context: LinuxContext;

    constructor(
        private readonly session: SessionContext,
        private readonly store: BreakpointStore,
    ) {
        this.context = new LinuxContext(new InspectionContext(session));
    }

    /** Replaces the filters of this kind; says of each where it is, or why it is nowhere yet. */
    async choose(
        chosen: readonly ChosenFilter[],
        target: DebugTarget | undefined,
    ): Promise<DebugProtocol.Breakpoint[]> {
        const kinds = chosen.map(({ filter }) => FILTERS[filter]);
        this.store.replace(
            'linux',
            SCOPE,
            chosen.map(({ condition }, index) => ({
                args: new RequestArguments({ filter: kinds[index], condition }),
                locate: each => locateFailure(each, kinds[index]),
            })),
        );
        const told = await this.store.apply(target, SCOPE);
        this.kinds = new Map(told.map(({ id }, index) => [id!, kinds[index]]));
        return told;
    }

    /** A stop at one of these breakpoints with what has happened in words; any other as it is. */
    async explain(stop: Stop): Promise<Stop> {
        const kind = (stop.breakpoints ?? []).map(id => this.kinds.get(id)).find(found => found !== undefined);
        if (kind === undefined) {
            return stop;
        }
        const explained = { ...stop, reason: 'exception', title: TITLES[kind] } as const;
        const values = await this.session.target.registerValues(stop.vcpu, ARGUMENTS);
        const known = values.map(value => value ?? 0n);
        const registers = { arguments: known.slice(0, -1), rsp: known[known.length - 1] };
        try {
            const { text, log } = await this.context.read(reader =>
                describeFailure(reader, kind, stop.vcpu, registers),
            );
            return { ...explained, note: text, details: log.join('\n') };
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            return { ...explained, note: `${TITLES[kind]}: ${error.message}` };
        }
    }
}

/** Where a kernel fails so; functions of other programs whose paths end in such a name, as Rust's do, are not meant. */
export async function locateFailure(target: DebugTarget, kind: FailureKind): Promise<BreakpointPlace> {
    const banner = await locateFunction(target, `\`${LINUX_SYMBOL}\``);
    if (banner.addresses === undefined) {
        return { problem: 'waits for the names of a Linux kernel' };
    }
    let place: BreakpointPlace = { problem: `the kernel has no ${FAILURE_FUNCTIONS[kind].join(', ')}` };
    for (const name of FAILURE_FUNCTIONS[kind]) {
        place = await locateFunction(target, `\`${name}\``);
        if (place.addresses !== undefined) return place;
    }
    return place;
}

/** `kvm …` in the debug console: what only KVM can tell. */
import type { DebugTarget, DirtyLogAction } from '../debug/target';
import { columns, type ConsoleCommand } from './console-commands';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';

const PAGE = 0x1000;
/** Ranges that are listed one by one. */
const MOST_RANGES = 200;

export function kvmCommand(session: SessionContext): ConsoleCommand {
    const dirty = (action: DirtyLogAction): Promise<readonly number[]> => {
        const { target }: { target: DebugTarget } = session;
        if (target.dirtyPages === undefined) {
            throw new RequestError('this guest is executed elsewhere: KVM says nothing of it here');
        }
        return target.dirtyPages(action);
    };
    return {
        name: 'kvm',
        help: 'tells what KVM knows of the guest',
        subcommands: [
            {
                ...{ name: 'log', help: 'notes from now on which pages the guest writes on KVM' },
                run: async () => {
                    await dirty('start');
                    // The marks of the last stop are gone.
                    session.guestChanged();
                    return 'written pages are noted from now on: kvm dirty lists them, the Memory view marks them, kvm unlog ends it';
                },
            },
            {
                name: 'dirty',
                help: 'pages written since the last look; not what devices or the translator wrote',
                run: async () => rangesOf(await dirty('take')),
            },
            {
                ...{ name: 'unlog', help: 'notes no more pages' },
                run: async () => {
                    await dirty('end');
                    session.guestChanged();
                    return 'written pages are noted no more';
                },
            },
            {
                ...{ name: 'counters', help: "exits by kind, and the kernel's own counters" },
                run: async () => {
                    const counters = Object.entries((await session.target.engineStatistics?.()) ?? {}).filter(
                        ([name]) => /^(kvm|kernel)[A-Z]/.test(name),
                    );
                    return counters.length === 0
                        ? 'KVM has not executed this guest'
                        : columns(
                              ['counter', 'value'],
                              counters.map(([name, value]) => [name, String(value)]),
                          );
                },
            },
        ],
    };
}

/** Pages in ascending order, as physical ranges. */
function rangesOf(pages: readonly number[]): string {
    const ranges: { start: number; end: number }[] = [];
    for (const page of pages) {
        const last = ranges.at(-1);
        if (last?.end === page) last.end += PAGE;
        else ranges.push({ start: page, end: page + PAGE });
    }
    const summary = `${pages.length} ${pages.length === 1 ? 'page' : 'pages'} written since the last look`;
    if (ranges.length === 0) return summary;
    const hex = (value: number): string => `0x${value.toString(16).padStart(9, '0')}`;
    const rows = ranges
        .slice(0, MOST_RANGES)
        .map(({ start, end }) => [`${hex(start)}-${hex(end - 1)}`, String((end - start) / PAGE)]);
    const more = ranges.length > MOST_RANGES ? [`and ${ranges.length - MOST_RANGES} ranges more`] : [];
    return [summary, columns(['physical', 'pages'], rows), ...more].join('\n');
}

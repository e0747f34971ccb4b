/** Mounted file systems, as the first process sees them. */
import { optional } from './errors';
import { fileSystemType, nameOf } from './paths';
import type { KernelReader, Structure } from './structure';
import { rowsOf, type TableReader, type TableRow } from './table';

const SB_RDONLY = 1n;
/** `mnt_flags` of a mount. */
const FLAGS: ReadonlyArray<readonly [bit: bigint, name: string]> = [
    [0x01n, 'nosuid'],
    [0x02n, 'nodev'],
    [0x04n, 'noexec'],
    [0x08n, 'noatime'],
    [0x20n, 'relatime'],
];
const MNT_READONLY = 0x40n;
const MOST_MOUNTS = 10_000;

export const mountTable: TableReader = reader => {
    const root = firstProcess(reader).pointer('nsproxy')?.pointer('mnt_ns')?.pointer('root', 'mount');
    const problems: string[] = [];
    const mounts: Structure[] = [];
    // A tree of mounts is there in all versions, a list of them is not.
    const pending = root === undefined ? [] : [root];
    const seen = new Set<bigint>();
    for (let mount = pending.pop(); mount !== undefined; mount = pending.pop()) {
        const isCircle = seen.has(mount.address);
        if (isCircle || mounts.length >= MOST_MOUNTS) {
            problems.push(
                `the tree of mounts ${isCircle ? 'runs in a circle' : `goes on after ${MOST_MOUNTS} mounts`}`,
            );
            break;
        }
        seen.add(mount.address);
        mounts.push(mount);
        const children = mount.list('mnt_mounts', 'mount', 'mnt_child');
        if (children.problem !== undefined) problems.push(children.problem);
        pending.push(...[...children.items].reverse());
    }
    return {
        columns: ['Mounted on', 'Type', 'Device', 'Options'],
        ...rowsOf(mounts, mountRow, problems.at(0)),
    };
};

function mountRow(mount: Structure): TableRow {
    const inner = mount.inner('mnt');
    const superBlock = inner.pointer('mnt_sb');
    const flags = inner.big('mnt_flags');
    const readOnly = (flags & MNT_READONLY) !== 0n || ((superBlock?.big('s_flags') ?? 0n) & SB_RDONLY) !== 0n;
    const parent = mount.pointer('mnt_parent');
    const isRoot = parent === undefined || parent.address === mount.address;
    const point = optional(() => (isRoot ? '/' : nameOf(mount.pointer('mnt_mountpoint')!, parent.inner('mnt'))));
    return {
        cells: [
            point ?? '?',
            superBlock === undefined ? '' : fileSystemType(superBlock),
            mount.string('mnt_devname', 256),
            [readOnly ? 'ro' : 'rw', ...FLAGS.filter(([bit]) => (flags & bit) !== 0n).map(([, name]) => name)].join(
                ',',
            ),
        ],
        address: mount.address,
    };
}

/** The first process; until there is one, the task that becomes it. */
function firstProcess(reader: KernelReader): Structure {
    const first = reader.global('init_task', 'task_struct');
    const { items } = reader.list(first.addressOf('tasks'), 'task_struct', 'tasks', 1);
    return items.at(0) ?? first;
}

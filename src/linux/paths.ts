/** Names of files: from a directory entry up to the root, across mount points. */
import type { Structure } from './structure';

/** Longer paths are loops. */
const MOST_PARTS = 256;
const LONGEST_NAME = 255;
/** File systems whose files have no place in a tree, and what they are called. */
const NAMELESS: Readonly<Record<string, string>> = {
    pipefs: 'pipe',
    sockfs: 'socket',
};

/** The path of a `struct path` as the guest's processes see it. @throws LinuxError if it cannot be read */
export function pathName(path: Structure): string {
    const dentry = path.pointer('dentry');
    const mount = path.pointer('mnt');
    return dentry === undefined || mount === undefined ? '' : nameOf(dentry, mount);
}

/** Name of a directory entry's file in a mounted file system. @throws LinuxError */
export function nameOf(dentry: Structure, vfsmount: Structure): string {
    const special = specialName(dentry);
    if (special !== undefined) {
        return special;
    }
    const parts: string[] = [];
    let at = dentry;
    let mount = vfsmount.container('mount', 'mnt');
    for (let count = 0; count < MOST_PARTS; count++) {
        if (at.address === mount.inner('mnt').big('mnt_root')) {
            const parent = mount.big('mnt_parent');
            const mountpoint = mount.pointer('mnt_mountpoint', 'dentry');
            if (parent === mount.address || parent === 0n || mountpoint === undefined) break;
            at = mountpoint;
            mount = at.reader.at('mount', parent);
            continue;
        }
        const parent = at.pointer('d_parent');
        // A tree that is mounted nowhere any more.
        if (parent === undefined || parent.address === at.address) break;
        parts.unshift(partName(at));
        at = parent;
    }
    return `/${parts.join('/')}${isUnhashed(dentry) ? ' (deleted)' : ''}`;
}

/** The last part of a directory entry's name. */
export function partName(dentry: Structure): string {
    return dentry.string('d_name.name', LONGEST_NAME + 1);
}

/** Name of the type of the file system that something lies in: `ext4`. */
export function fileSystemType(superBlock: Structure): string {
    return superBlock.pointer('s_type')?.string('name', 64) ?? '';
}

/** As `/proc/PID/fd` shows what lies in no directory. */
function specialName(dentry: Structure): string | undefined {
    if (dentry.big('d_parent') !== dentry.address) {
        return undefined;
    }
    const superBlock = dentry.pointer('d_sb');
    const type = superBlock === undefined ? '' : fileSystemType(superBlock);
    const kind = NAMELESS[type];
    if (kind !== undefined) {
        return `${kind}:[${dentry.pointer('d_inode')?.big('i_ino') ?? '?'}]`;
    }
    return type === 'anon_inodefs' ? `anon_inode:${partName(dentry)}` : undefined;
}

/** Entries that are in no hash table any more were removed, unless they are roots. */
function isUnhashed(dentry: Structure): boolean {
    return dentry.big('d_hash.pprev') === 0n && dentry.big('d_parent') !== dentry.address;
}

/** Name of an open file. @throws LinuxError */
export function fileName(file: Structure): string {
    return pathName(file.inner(file.either('f_path', '__f_path')));
}

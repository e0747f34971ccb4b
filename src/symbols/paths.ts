/** Paths as compilers write them down and as users write them. */

/** `a/b/../c/./d` → `a/c/d`; back slashes are slashes. */
export function normalizePath(path: string): string {
    const parts: string[] = [];
    for (const part of path.replace(/\\/g, '/').split('/')) {
        if (part === '.' || (part === '' && parts.length > 0)) continue;
        if (part === '..' && parts.length > 0 && parts.at(-1) !== '..' && parts.at(-1) !== '') {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    return parts.join('/');
}

export function isAbsolute(path: string): boolean {
    return path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path);
}

/** A path below a directory, unless it is absolute. */
export function joinPath(directory: string, path: string): string {
    return isAbsolute(path) || directory === '' ? path : `${directory}/${path}`;
}

export function baseName(path: string): string {
    return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}

/** How many components two normalized paths have in common, counted from their ends. */
export function commonTail(a: string, b: string): number {
    const left = a.split('/');
    const right = b.split('/');
    let count = 0;
    while (count < left.length && count < right.length && left.at(-1 - count) === right.at(-1 - count)) count++;
    return count;
}

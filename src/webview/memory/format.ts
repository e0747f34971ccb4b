/** Bytes as the rows show them. */
import type { PagePermissions } from '../../messages/common';
import type { MemoryPage } from '../../messages/memory';

export type Width = 1 | 2 | 4 | 8;

export function hex(value: bigint): string {
    return `0x${value.toString(16)}`;
}

/** Digits of one number, most significant first. */
export function digits(bytes: Uint8Array, offset: number, width: Width, littleEndian: boolean): string {
    let text = '';
    for (let index = 0; index < width; index++) {
        const byte = bytes[offset + (littleEndian ? width - 1 - index : index)];
        text += byte.toString(16).padStart(2, '0');
    }
    return text;
}

/** The bytes that digits stand for: the inverse of {@link digits}. */
export function bytesOf(text: string, width: Width, littleEndian: boolean): Uint8Array {
    const padded = text.padStart(width * 2, '0');
    const bytes = Uint8Array.from({ length: width }, (_, index) =>
        parseInt(padded.slice(index * 2, index * 2 + 2), 16),
    );
    return littleEndian ? bytes.reverse() : bytes;
}

/** ASCII as it is, a dot for anything else. */
export function character(byte: number): string {
    return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
}

export function permissions({ writable, user, executable }: PagePermissions): string {
    return `r${writable ? 'w' : '-'}${executable ? 'x' : '-'} ${user ? 'user' : 'kernel'}`;
}

const SIZES: Readonly<Record<number, string>> = { 0x1000: '4K', 0x200000: '2M', 0x400000: '4M', 0x40000000: '1G' };

/** What a page is, in one line; the physical address is that of a byte in it. */
export function describePage(page: MemoryPage, offset = 0): string {
    const words = [
        page.physical === undefined ? undefined : `physical 0x${(BigInt(page.physical) + BigInt(offset)).toString(16)}`,
        page.permissions && permissions(page.permissions),
        page.pageSize === undefined ? undefined : `${SIZES[page.pageSize] ?? page.pageSize} page`,
        page.region ?? (page.kind === 'ram' ? undefined : page.kind),
        page.use,
        page.written && 'written since the last stop',
        page.problem,
    ];
    return words.filter(word => word !== undefined).join(' · ');
}

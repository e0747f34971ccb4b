/** Which page tables there are to look at: those in use, their other halves, and those of processes that are known. */
import type { InspectionSource, SystemState } from '../../debug/inspection-source';
import type { AddressSpaceItem } from '../../messages/page-tables';
import { hex } from '../hex';
import type { GuestNaming } from '../naming';
import { Bit, modeOf, pageTables, type PageTables } from './paging-format';
import { readTable } from './ranges';

/** Page table isolation: the user half of Linux's page tables stands one page behind the kernel half. */
const USER_HALF = 0x1000;
/** Entries of a top table: the lower half is user space. */
const TOP_ENTRIES = 512;
const NO_EXECUTE_HI = 0x80000000;

export interface IsolatedHalves {
    /** Physical addresses of the top tables. */
    readonly kernel: number;
    readonly user: number;
    /** Which of them these page tables are. */
    readonly which: 'kernel' | 'user';
}

/**
 * Recognises page table isolation by what it has to look like: of a pair of neighbouring pages, both map the same user
 * space by the same tables (the kernel's half without the right to execute it), and the user's half has only a part of
 * the kernel's upper entries, some by tables of its own.
 */
export function isolatedHalves(source: Pick<InspectionSource, 'page'>, tables: PageTables): IsolatedHalves | undefined {
    if (tables.mode !== '4-level' && tables.mode !== '5-level') {
        return undefined;
    }
    const kernel = tables.root - (tables.root % (2 * USER_HALF));
    const user = kernel + USER_HALF;
    const kernelTop = readTable(source, kernel);
    const userTop = readTable(source, user);
    if (kernelTop === undefined || userTop === undefined) {
        return undefined;
    }
    let lower = 0;
    let upper = 0;
    let missing = 0;
    for (let index = 0; index < TOP_ENTRIES; index++) {
        const [lo, hi] = [kernelTop[2 * index], kernelTop[2 * index + 1]];
        const [userLo, userHi] = [userTop[2 * index], userTop[2 * index + 1]];
        const present = (lo & Bit.Present) !== 0;
        const inUser = (userLo & Bit.Present) !== 0;
        if (index < TOP_ENTRIES / 2) {
            if (present !== inUser || (present && !sameTable(lo, hi, userLo, userHi))) return undefined;
            if (present) lower++;
        } else if (inUser) {
            if (!present) return undefined;
            upper++;
        } else if (present) {
            missing++;
        }
    }
    const isolated = lower > 0 && upper > 0 && missing > 0;
    return isolated ? { kernel, user, which: tables.root === user ? 'user' : 'kernel' } : undefined;
}

/** Accessed bits, and NX in the kernel's half, may differ. */
function sameTable(lo: number, hi: number, otherLo: number, otherHi: number): boolean {
    const ignored = Bit.Accessed | Bit.Dirty;
    return (lo & ~ignored) === (otherLo & ~ignored) && ((hi ^ otherHi) & ~NO_EXECUTE_HI) === 0;
}

/** A word on the page tables, for the head of the view. */
export function describeTables(source: Pick<InspectionSource, 'page'>, tables: PageTables): string | undefined {
    const halves = isolatedHalves(source, tables);
    if (halves === undefined) {
        return undefined;
    }
    return halves.which === 'kernel'
        ? `kernel half (page table isolation); user half: ${hex(halves.user)}`
        : `user half (page table isolation); kernel half: ${hex(halves.kernel)}`;
}

/** What two values of CR3 have in common that name the same tables: PCIDs and flags may differ. */
function rootOf({ cr3, mode }: AddressSpaceItem): bigint {
    return mode === '4-level' || mode === '5-level' ? BigInt(cr3) & ~0xfffn : BigInt(cr3);
}

/** @param systems the system registers of all vCPUs, by number */
export function viewAddressSpaces(
    source: InspectionSource,
    systems: readonly SystemState[],
    naming: GuestNaming = {},
): AddressSpaceItem[] {
    const items: AddressSpaceItem[] = [];
    const add = (item: AddressSpaceItem): void => {
        const known = items.findIndex(other => other.mode === item.mode && rootOf(other) === rootOf(item));
        if (known < 0) {
            items.push(item);
        } else if (!items[known].label.includes(item.label)) {
            items[known] = {
                ...items[known],
                label: `${items[known].label}, ${item.label}`,
                current: items[known].current || item.current,
            };
        }
    };
    for (const [vcpu, system] of systems.entries()) {
        const mode = modeOf(system);
        if (mode === 'none') continue;
        const current = vcpu === source.vcpu;
        add({ cr3: hex(system.cr3), mode, label: `vCPU ${vcpu}`, current });
        const halves = isolatedHalves(source, pageTables(system));
        if (halves !== undefined) {
            const other = halves.which === 'kernel' ? halves.user : halves.kernel;
            const which = halves.which === 'kernel' ? 'user' : 'kernel';
            add({ cr3: hex(other), mode, label: `vCPU ${vcpu}, ${which} half (page table isolation)`, current: false });
        }
    }
    for (const { cr3, label } of naming.addressSpaces?.(source) ?? []) {
        add({ cr3: hex(cr3), mode: modeOf(source.system), label, current: false });
    }
    return items;
}

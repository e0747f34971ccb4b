/** One linear address, step by step through the page tables, and what an access to it would meet. */
import type { InspectionSource, SystemState } from '../../debug/inspection-source';
import { Cr0, Cr4, Efer } from '../../machine/cpu/cpu-state';
import { Flag } from '../../machine/state';
import type { PagePermissions } from '../../messages/common';
import type {
    PageAccess,
    PageTableReference,
    PageWalkBody,
    PageWalkFault,
    PageWalkStep,
} from '../../messages/page-tables';
import { hex } from '../hex';
import { regionAt } from '../physical-map';
import {
    Bit,
    decoders,
    describeReserved,
    Entry,
    isCanonical,
    linearOf,
    pageOf,
    type PageTables,
} from './paging-format';
import { halvesOf, readTable } from './ranges';
import { restrict, topTable } from './page-tables-view';

const PAGE = 0x1000;

export interface WalkRequest {
    readonly linear: bigint;
    readonly access: PageAccess;
    readonly user: boolean;
}

/** Where the walk ended. */
export interface WalkEnd {
    readonly steps: readonly PageWalkStep[];
    readonly mapping?: {
        readonly physical: number;
        readonly pageSize: number;
        readonly permissions: PagePermissions;
        readonly leaf: Entry;
    };
    /** Why there is no mapping. */
    readonly problem?: string;
    /** The problem is a reserved bit. */
    readonly reserved?: boolean;
}

/** Follows the tables; paging is on, and the address canonical. */
export function walk(source: Pick<InspectionSource, 'page'>, tables: PageTables, linear: bigint): WalkEnd {
    const page = pageOf(tables, linear);
    const steps: PageWalkStep[] = [];
    let table: PageTableReference = topTable(tables);
    let address = tables.root;
    let permissions = table.permissions;
    for (const decoder of decoders(tables)) {
        const { level } = decoder;
        const index = Math.floor(page / level.pages) % level.entries;
        let outside = '';
        const isRegister = steps.length === 0 && tables.mode === 'pae' && tables.pdptes !== undefined;
        const entry = new Entry();
        const place = address + index * level.size;
        if (isRegister) {
            decoder.take(...halvesOf(tables.pdptes![index]), entry);
        } else {
            const words = readTable(source, address);
            const at = (index * level.size) / 4;
            // Where nothing answers, the bus reads ones.
            const lo = words === undefined ? 0xffffffff : words[at];
            const hi = words === undefined ? 0xffffffff : words[at + 1];
            decoder.take(lo, level.size === 8 ? hi : 0, entry);
            outside = words === undefined ? `: the ${level.table} at ${hex(address)} is not in memory` : '';
        }
        const name = `${level.structure}[0x${index.toString(16)}] = ${hex(entry.bits)}`;
        const problem =
            entry.kind === 'absent' ? 'not present' : entry.kind === 'invalid' ? describeReserved(entry) : undefined;
        steps.push({
            structure: level.structure,
            index,
            address: isRegister ? undefined : hex(place),
            entry: hex(entry.bits),
            bits: decoder.describe(entry),
            target: problem === undefined ? hex(entry.target) : undefined,
            problem: problem === undefined && outside !== '' ? outside.slice(2) : problem,
            table,
        });
        if (problem !== undefined) {
            const reserved = entry.kind === 'invalid';
            return { steps, problem: `${name}${reserved ? `: ${problem}` : ' is not present'}${outside}`, reserved };
        }
        permissions = restrict(permissions, decoder, entry);
        if (entry.kind === 'page') {
            const offset = Number(linear & BigInt(entry.pages * PAGE - 1));
            const physical = entry.target + offset;
            return { steps, mapping: { physical, pageSize: entry.pages * PAGE, permissions, leaf: entry } };
        }
        const first = page - (page % level.pages);
        address = entry.target;
        table = {
            address: hex(address),
            structure: tables.levels[steps.length].structure,
            linear: hex(linearOf(tables, first)),
            permissions,
        };
    }
    throw new Error('a walk ends with a page or a problem');
}

/** Bits of the error code (SDM Vol. 3, 4.7). */
const enum Code {
    Protection = 1,
    Write = 2,
    User = 4,
    Reserved = 8,
    Fetch = 16,
}

const CODE_NAMES = ['P', 'W', 'U', 'RSVD', 'I'];

function pageFault(code: number, reason: string): PageWalkFault {
    const errorCodeBits = CODE_NAMES.filter((_, bit) => code & (1 << bit)).join(' ');
    return { name: '#PF', errorCode: code, errorCodeBits, reason };
}

const DOING: Readonly<Record<PageAccess, string>> = { read: 'read', write: 'write', execute: 'execute' };

/** Why the access is denied (SDM Vol. 3, 4.6); undefined if it is allowed. */
function denial(system: SystemState, permissions: PagePermissions, { access, user }: WalkRequest): string | undefined {
    const { cr0, cr4, rflags } = system;
    const who = user ? 'user code' : 'supervisor code';
    if (user && !permissions.user) {
        return `user code may not ${DOING[access]} supervisor pages: U/S is 0`;
    }
    if (access === 'execute' && !permissions.executable) {
        return `${who} may not execute here: NX (XD) is set`;
    }
    if (!user && permissions.user && access === 'execute' && (cr4 & Cr4.SMEP) !== 0) {
        return 'supervisor code may not execute user pages: CR4.SMEP is set';
    }
    if (!user && permissions.user && access !== 'execute' && (cr4 & Cr4.SMAP) !== 0 && (rflags & Flag.AC) === 0) {
        return `supervisor code may not ${access} user pages: CR4.SMAP is set, RFLAGS.AC is clear`;
    }
    if (access === 'write' && !permissions.writable) {
        if (user) return 'user code may not write here: R/W is 0';
        if ((cr0 & Cr0.WP) !== 0) return 'supervisor code may not write read-only pages: R/W is 0, CR0.WP is set';
    }
    return undefined;
}

function faultOf(
    system: SystemState,
    tables: PageTables,
    end: WalkEnd,
    request: WalkRequest,
): PageWalkFault | undefined {
    const { access, user } = request;
    const { cr4, efer } = system;
    // Without NX and SMEP instruction fetches cannot be told from reads (SDM Vol. 3, 4.7).
    const tellsFetches = (cr4 & Cr4.SMEP) !== 0 || ((cr4 & Cr4.PAE) !== 0 && (efer & Efer.NXE) !== 0);
    const instructionBit = access === 'execute' && tellsFetches;
    const code = (access === 'write' ? Code.Write : 0) | (user ? Code.User : 0) | (instructionBit ? Code.Fetch : 0);
    if (end.mapping === undefined) {
        const reserved = end.reserved === true ? Code.Protection | Code.Reserved : 0;
        return pageFault(code | reserved, end.problem ?? 'not mapped');
    }
    const reason = denial(system, end.mapping.permissions, request);
    return reason === undefined ? undefined : pageFault(code | Code.Protection, reason);
}

const SIZES: Readonly<Record<number, string>> = { 0x200000: ' 2M', 0x400000: ' 4M', 0x40000000: ' 1G' };

function summarize(tables: PageTables, { steps, mapping, problem }: WalkEnd): string {
    const path = steps.map(({ structure, index }) => {
        const table = tables.levels.find(level => level.structure === structure)!.table;
        return `${table}[${index}]`;
    });
    const end = mapping === undefined ? (problem ?? 'not mapped') : hex(mapping.physical);
    return `${path.join(' → ')}${mapping === undefined ? '' : (SIZES[mapping.pageSize] ?? '')} → ${end}`;
}

export function viewWalk(source: InspectionSource, tables: PageTables, request: WalkRequest): PageWalkBody {
    const { linear, access, user } = request;
    const head = { linear: hex(linear), cr3: hex(tables.cr3), mode: tables.mode, access, user };
    const symbol = source.symbol(linear);
    if (tables.mode === 'none') {
        const physical = Number(BigInt.asUintN(32, linear));
        return {
            ...head,
            symbol,
            steps: [],
            mapping: {
                physical: hex(physical),
                pageSize: PAGE,
                permissions: { writable: true, user: true, executable: true },
                flags: {
                    accessed: false,
                    dirty: false,
                    global: false,
                    pwt: false,
                    pcd: false,
                    pat: false,
                    protectionKey: 0,
                },
                region: regionAt(source, physical)?.name,
            },
            summary: `paging is off → ${hex(physical)}`,
        };
    }
    if (!isCanonical(tables, linear)) {
        const reason =
            tables.linearBits === 32
                ? 'outside long mode linear addresses have 32 bits'
                : `the address is not canonical: bits 63–${tables.linearBits - 1} are not all equal`;
        const fault: PageWalkFault = { name: '#GP', errorCode: 0, errorCodeBits: '', reason };
        return { ...head, symbol, steps: [], fault, summary: reason };
    }
    const end = walk(source, tables, linear);
    const { mapping } = end;
    return {
        ...head,
        symbol,
        steps: end.steps,
        mapping: mapping && {
            physical: hex(mapping.physical),
            pageSize: mapping.pageSize,
            permissions: mapping.permissions,
            flags: leafFlags(mapping.leaf, (tables.cr4 & Cr4.PGE) !== 0),
            region: regionAt(source, mapping.physical)?.name,
        },
        fault: faultOf(source.system, tables, end, request),
        summary: summarize(tables, end),
    };
}

function leafFlags(leaf: Entry, globalPages: boolean): NonNullable<PageWalkBody['mapping']>['flags'] {
    const { lo } = leaf;
    return {
        accessed: (lo & Bit.Accessed) !== 0,
        dirty: (lo & Bit.Dirty) !== 0,
        global: globalPages && (lo & Bit.Global) !== 0,
        pwt: (lo & Bit.WriteThrough) !== 0,
        pcd: (lo & Bit.CacheDisable) !== 0,
        pat: leaf.pat,
        protectionKey: leaf.protectionKey,
    };
}

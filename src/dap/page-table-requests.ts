/** Requests of the Page tables view. */
import type { InspectionSource, SystemState } from '../debug/inspection-source';
import { describeTables, viewAddressSpaces } from '../inspect/paging/address-spaces';
import { viewEntries, viewRanges } from '../inspect/paging/page-tables-view';
import { pageTables, type PageTables } from '../inspect/paging/paging-format';
import { viewWalk } from '../inspect/paging/walk';
import type {
    AddressSpacesBody,
    PageTableEntriesBody,
    PageTableReference,
    PageTablesBody,
    PageWalkBody,
    PagingMode,
    PagingStructure,
} from '../messages/page-tables';
import type { RequestArguments } from './arguments';
import { choice, type InspectionContext } from './inspection-context';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';

const MODES: readonly PagingMode[] = ['none', '32-bit', 'pae', '4-level', '5-level'];
const STRUCTURES: readonly PagingStructure[] = ['pml5e', 'pml4e', 'pdpte', 'pde', 'pte'];
const DEFAULT_RANGES = 4096;
const MOST_RANGES = 65_536;

export function pageTableRequests(context: InspectionContext): RequestHandlers {
    return {
        'hyperscope/addressSpaces': args => addressSpaces(context, args),
        'hyperscope/pageTables': args => ranges(context, args),
        'hyperscope/pageTableEntries': args => entries(context, args),
        'hyperscope/pageWalk': args => walk(context, args),
    };
}

type Choose = (source: InspectionSource) => PageTables;

/** Which page tables the request is about. */
async function chosen(context: InspectionContext, vcpu: number, args: RequestArguments): Promise<Choose> {
    const cr3 = await context.number(vcpu, args, 'cr3');
    const mode = choice(args, 'mode', MODES);
    return ({ system }) => pageTables(system, cr3, mode);
}

async function addressSpaces(context: InspectionContext, args: RequestArguments): Promise<AddressSpacesBody> {
    const vcpu = context.vcpu(args);
    const { vcpus } = context.target;
    const systems: SystemState[] = [];
    for (let index = 0; index < vcpus; index++) {
        systems.push(await context.look(index, ({ system }) => system));
    }
    return { spaces: await context.look(vcpu, source => viewAddressSpaces(source, systems, context.naming)) };
}

async function ranges(context: InspectionContext, args: RequestArguments): Promise<PageTablesBody> {
    const vcpu = context.vcpu(args);
    const choose = await chosen(context, vcpu, args);
    const request = {
        first: await context.number(vcpu, args, 'first'),
        last: await context.number(vcpu, args, 'last'),
        contiguous: args.flag('contiguous'),
        byUse: args.flag('byUse'),
        limit: args.optionalInteger('limit', DEFAULT_RANGES, 1, MOST_RANGES),
    };
    return context.look(vcpu, source => {
        const tables = choose(source);
        return { ...viewRanges(source, tables, request, context.naming), note: describeTables(source, tables) };
    });
}

async function entries(context: InspectionContext, args: RequestArguments): Promise<PageTableEntriesBody> {
    const vcpu = context.vcpu(args);
    const choose = await chosen(context, vcpu, args);
    const table = args.has('table') ? reference(args.object('table')) : undefined;
    const absent = args.flag('absent');
    return context.look(vcpu, source => viewEntries(source, choose(source), table, absent, context.naming));
}

function reference(args: RequestArguments): PageTableReference {
    const structure = choice(args, 'structure', STRUCTURES);
    if (structure === undefined) {
        throw new RequestError('table.structure has to be given');
    }
    const permissions = args.object('permissions');
    return {
        address: `0x${args.address('address', '').offset.toString(16)}`,
        structure,
        linear: `0x${args.address('linear', '').offset.toString(16)}`,
        permissions: {
            writable: permissions.flag('writable'),
            user: permissions.flag('user'),
            executable: permissions.flag('executable'),
        },
    };
}

async function walk(context: InspectionContext, args: RequestArguments): Promise<PageWalkBody> {
    const vcpu = context.vcpu(args);
    const choose = await chosen(context, vcpu, args);
    const { space, offset } = await context.address(vcpu, args.string('address'));
    if (space === 'physical') {
        throw new RequestError('address has to be linear: physical addresses are not translated');
    }
    const access = choice(args, 'access', ['read', 'write', 'execute'] as const) ?? 'read';
    return context.look(vcpu, source => {
        const user = args.has('user') ? args.flag('user') : source.system.cpl === 3;
        return viewWalk(source, choose(source), { linear: offset, access, user });
    });
}

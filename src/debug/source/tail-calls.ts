/**
 * Functions that left the stack by a tail call: the caller says whom it called, and the functions say whom they jump to
 * at their end (DW_TAG_call_site). Where there is only one way from the one to the other, it is told.
 */
import { fromAddress } from '../../symbols/cursor';
import { type Block, entryOf } from '../../symbols/dwarf/blocks';
import { At } from '../../symbols/dwarf/constants';
import type { Die } from '../../symbols/dwarf/die';
import type { Program, ProgramSet } from '../../symbols/program';
import { lookupAddress } from '../../symbols/unwind';
import type { PhysicalFrame } from './source-stack';

/** Functions and chains that are looked at: in a large program there may be any number. */
const MOST_FUNCTIONS = 400;
const MOST_CHAINS = 32;
const DEEPEST = 16;

export interface TailCallHost {
    readonly programs: ProgramSet;
    /** Linear address of a function by its symbol. */
    symbol(name: string): bigint | undefined;
    /** Where a call through a pointer led to, as far as the caller's registers tell. */
    indirectTarget(caller: PhysicalFrame, site: Die): bigint | undefined;
}

/** The frames between a function and the one that its return address leads to, from inside out. */
export function tailCallsBetween(callee: PhysicalFrame, caller: PhysicalFrame, host: TailCallHost): PhysicalFrame[] {
    const search = new TailCallSearch(host);
    const program = host.programs.at(lookupAddress(caller.state));
    const own = search.functionAt(lookupAddress(callee.state));
    const goal = own && entryOf(own.block);
    if (program === undefined || own === undefined || goal === undefined || !caller.state.isReturn) {
        return [];
    }
    const linked = program.linked(lookupAddress(caller.state));
    const returns = fromAddress(BigInt.asUintN(64, caller.state.pc - program.slide));
    const site = program.info
        .blocksAt(linked)
        .flatMap(({ callSites }) => callSites)
        .find(die => returnAddress(die) === returns);
    const target = site && (search.targetOf(site, program) ?? host.indirectTarget(caller, site));
    const end = own.program.linear(goal);
    if (target === undefined || target === end) {
        return [];
    }
    const sites = search.chain(target, end);
    // The stack pointer is the caller's at the call: the frames themselves are gone.
    return sites.reverse().map(({ program: of, die }): PhysicalFrame => {
        const pc = of.linear(returnAddress(die)!);
        const registers: (bigint | undefined)[] = caller.state.registers.map(() => undefined);
        const { stackPointer, programCounter } = caller.numbering;
        registers[stackPointer] = caller.state.registers[stackPointer];
        registers[programCounter] = pc;
        return {
            state: { pc, registers, isReturn: true },
            numbering: caller.numbering,
            origin: caller.origin,
            isTailCall: true,
            caller: null,
        };
    });
}

function returnAddress(site: Die): number | undefined {
    return site.address(At.CallReturnPc) ?? site.address(At.LowPc);
}

interface Site {
    readonly program: Program;
    readonly die: Die;
}

class TailCallSearch {
    private functions = 0;

    constructor(private readonly host: TailCallHost) {}

    functionAt(address: bigint): { readonly program: Program; readonly block: Block } | undefined {
        const program = this.host.programs.at(address);
        const block = program?.info.blocksAt(program.linked(address)).at(0);
        return program === undefined || block === undefined ? undefined : { program, block };
    }

    /** Where a call goes that names its function. */
    targetOf(site: Die, program: Program): bigint | undefined {
        const origin = site.reference(At.CallOrigin) ?? site.reference(At.AbstractOrigin);
        if (origin === undefined) {
            return undefined;
        }
        const own = program.info.functionsOf(origin.unit.skeleton ?? origin.unit).entryAddress(origin);
        if (own !== undefined) {
            return program.linear(own);
        }
        const name = origin.string(At.LinkageName) ?? origin.effectiveName;
        return name === undefined ? undefined : this.host.symbol(name);
    }

    /** The tail calls that lead from one function to another, as far as all possible ways agree. */
    chain(from: bigint, to: bigint): Site[] {
        const chains: Site[][] = [];
        this.search(from, to, [], new Set([from]), chains);
        const [first, ...others] = chains;
        if (first === undefined || chains.length >= MOST_CHAINS || this.functions >= MOST_FUNCTIONS) {
            return [];
        }
        if (others.length === 0) {
            return first;
        }
        const shortest = Math.min(...chains.map(({ length }) => length));
        const agree = (at: (chain: readonly Site[]) => Site | undefined): boolean =>
            others.every(other => at(other)?.die.offset === at(first)?.die.offset);
        let head = 0;
        while (head < shortest && agree(chain => chain[head])) head++;
        let tail = 0;
        while (tail < shortest - head && agree(chain => chain.at(-1 - tail))) tail++;
        return [...first.slice(0, head), ...first.slice(first.length - tail)];
    }

    private search(at: bigint, to: bigint, path: Site[], seen: Set<bigint>, chains: Site[][]): void {
        if (path.length >= DEEPEST || chains.length >= MOST_CHAINS || ++this.functions > MOST_FUNCTIONS) {
            return;
        }
        const found = this.functionAt(at);
        if (found === undefined) {
            return;
        }
        for (const die of tailCalls(found.block)) {
            const target = this.targetOf(die, found.program);
            if (target === undefined || returnAddress(die) === undefined) continue;
            const next = [...path, { program: found.program, die }];
            if (target === to) {
                chains.push(next);
            } else if (!seen.has(target)) {
                seen.add(target);
                this.search(target, to, next, seen, chains);
                seen.delete(target);
            }
        }
    }
}

function* tailCalls(block: Block): Generator<Die> {
    for (const die of block.callSites) {
        if (die.flag(At.CallTailCall) || die.flag(At.GnuTailCall)) yield die;
    }
    for (const child of block.children) yield* tailCalls(child);
}

/** The Translator view: the code at RIP as the translator sees it; IR and WebAssembly open as documents. */
import type { TranslatedBlock, TranslatedInstruction } from '../../messages/translation';
import { ask } from '../client';
import { formatCount } from '../format';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree } from '../guest-tree';

export class TranslatorView extends GuestTree {
    constructor(sessions: GuestSessions) {
        super('translator', sessions);
    }

    protected override describe(guest: GuestSession): string {
        return `vCPU ${guest.vcpu}`;
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        const translation = await ask(guest, 'hyperscope/translation', { vcpu: guest.vcpu, brief: true });
        const { address, symbol, physical, problem, tier, heat, hotThreshold, mode, blocks, insideOf } = translation;
        const entries: Entry[] = [
            {
                key: 'address',
                label: symbol ?? address,
                value: symbol === undefined ? undefined : address,
                icon: 'location',
                target: { space: 'linear', address, symbol },
                tooltip: physical === undefined ? address : `${address}, physical ${physical}`,
                unmarked: true,
            },
        ];
        // Rows stay from stop to stop, whatever code the guest is in: the window draws a list that has changed much later.
        if (problem !== undefined) entries.push({ key: 'problem', label: problem, icon: 'info', unmarked: true });
        const current = blocks.filter(block => block.current);
        if (tier !== undefined) {
            const others = blocks.filter(block => !block.current);
            const hot = tier === 'interpreter' && hotThreshold !== undefined ? ` of ${hotThreshold}` : '';
            const value = [
                heat !== undefined && `entered ${formatCount(heat)} times${hot}`,
                others.length > 0 && `${others.length} other block${others.length === 1 ? '' : 's'}`,
            ]
                .filter(Boolean)
                .join(', ');
            entries.push({
                key: 'tier',
                label: tier === 'region' ? 'Region' : 'Interpreter tier',
                value,
                tooltip: `${value === '' ? '' : `${value}\n`}Click to see guest code, IR and WebAssembly`,
                icon: tier === 'region' ? 'zap' : 'list-flat',
                unmarked: true,
                command: {
                    command: 'hyperscope.showTranslation',
                    title: 'Show guest code, IR and WebAssembly',
                    arguments: [address],
                },
                children: others.length === 0 ? undefined : others.map(blockEntry),
            });
        }
        if (mode !== undefined) entries.push({ key: 'mode', label: 'Mode', value: mode });
        entries.push(...current.map(blockEntry));
        if (tier !== undefined) entries.push(insideEntry(insideOf));
        return entries;
    }
}

/** The regions that the current block is also in. */
function insideEntry(regions: readonly string[]): Entry {
    const count = regions.length === 1 ? 'one other region' : `${regions.length} other regions`;
    return {
        key: 'inside',
        label: 'Also inside of',
        value: regions.length === 0 ? 'no other region' : count,
        tooltip: 'Regions that this block has been translated into as a part of',
        icon: 'symbol-namespace',
        unmarked: true,
        children:
            regions.length === 0
                ? undefined
                : regions.map(entry => ({
                      key: entry,
                      label: entry,
                      tooltip: `The region that begins at ${entry}`,
                      target: { space: 'linear', address: entry },
                      unmarked: true,
                  })),
    };
}

function blockEntry(block: TranslatedBlock): Entry {
    const { address, symbol, length, heat, current, isEntry, isLoopHeader, exits, instructions } = block;
    const words = [
        `${instructions.length} instruction${instructions.length === 1 ? '' : 's'}`,
        isEntry && 'entry',
        isLoopHeader && 'loop',
        `entered ${formatCount(heat)} times`,
    ].filter(Boolean);
    return {
        // The one that the guest is in stays one row, and open, wherever that is.
        key: current ? 'current' : address,
        label: symbol ?? address,
        value: words.join(', '),
        tooltip: `${address}, ${length} bytes\n${exits.map(({ kind, target, inside }) => `${kind} ${target ?? ''}${inside ? '' : ' (leaves)'}`).join('\n')}`,
        icon: current ? 'debug-stackframe' : 'symbol-event',
        expanded: current,
        unmarked: true,
        target: { space: 'linear', address, symbol },
        children: instructions.map((instruction, index) => instructionEntry(instruction, index)),
    };
}

function instructionEntry({ address, bytes, text, system }: TranslatedInstruction, index: number): Entry {
    return {
        key: String(index),
        label: text,
        value: `${address}${system ? '  system operation' : ''}`,
        tooltip: `${address}: ${bytes}`,
        unmarked: true,
        target: { space: 'linear', address },
        children: async guest => {
            // To make the IR takes longer than everything else that views show: of open rows only.
            const { blocks } = await ask(guest, 'hyperscope/translation', { vcpu: guest.vcpu, address });
            const found = blocks.flatMap(block => block.instructions).find(other => other.address === address);
            return (found?.ir ?? []).map((line, row) => ({ key: String(row), label: line, unmarked: true }));
        },
    };
}

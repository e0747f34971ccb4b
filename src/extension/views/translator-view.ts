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
        if (problem !== undefined) entries.push({ key: 'problem', label: problem, icon: 'info', unmarked: true });
        if (tier !== undefined) {
            const entered = heat === undefined ? '' : `, entered ${formatCount(heat)} times`;
            const hot = tier === 'interpreter' && hotThreshold !== undefined ? ` of ${hotThreshold}` : '';
            entries.push({
                key: 'tier',
                label: tier === 'region' ? 'Region' : 'Interpreter tier',
                value: `${entered.slice(2)}${hot}`,
                icon: tier === 'region' ? 'zap' : 'list-flat',
                unmarked: true,
                command: {
                    command: 'hyperscope.showTranslation',
                    title: 'Show guest code, IR and WebAssembly',
                    arguments: [address],
                },
            });
        }
        if (mode !== undefined) entries.push({ key: 'mode', label: 'Mode', value: mode });
        entries.push(...blocks.map(blockEntry));
        for (const entry of insideOf) {
            entries.push({
                key: `inside${entry}`,
                label: `Also inside of ${entry}`,
                icon: 'symbol-namespace',
                target: { space: 'linear', address: entry },
                unmarked: true,
            });
        }
        return entries;
    }
}

function blockEntry(block: TranslatedBlock): Entry {
    const { address, symbol, length, heat, current, isEntry, isLoopHeader, exits, instructions } = block;
    const words = [
        `${instructions.length} instructions`,
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

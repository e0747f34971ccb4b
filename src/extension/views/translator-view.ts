/** The Translator view: the code at RIP as the translator sees it; IR and WebAssembly open as documents. */
import type { TranslatedBlock } from '../../messages/translation';
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
        const translation = await ask(guest, 'hyperscope/translation', { vcpu: guest.vcpu });
        const { address, symbol, physical, problem, tier, heat, hotThreshold, mode, blocks, wasmBytes, insideOf } =
            translation;
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
                value: `${entered.slice(2)}${hot}${wasmBytes === undefined ? '' : ` · ${formatCount(wasmBytes)} bytes of WebAssembly`}`,
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
        children: instructions.map((instruction, index) => ({
            key: String(index),
            label: instruction.text,
            value: `${instruction.address}${instruction.system ? '  system operation' : ''}`,
            tooltip: `${instruction.address}: ${instruction.bytes}\n${(instruction.ir ?? []).join('\n')}`,
            unmarked: true,
            target: { space: 'linear', address: instruction.address },
            children:
                instruction.ir === undefined || instruction.ir.length === 0
                    ? undefined
                    : instruction.ir.map((line, index) => ({ key: String(index), label: line, unmarked: true })),
        })),
    };
}

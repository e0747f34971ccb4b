/** Guest code as documents: disassembly in which breakpoints can be set, and what the translator made of it. */
import * as vscode from 'vscode';
import type { ListingBody } from '../messages/listing';
import type { TranslationBody } from '../messages/translation';
import type { AddressTarget } from './address-target';
import { ask } from './client';
import type { GuestSession, GuestSessions } from './guest-sessions';

const TRANSLATION_SCHEME = 'hyperscope-translation';
const TRANSLATION_LANGUAGE = 'hyperscope-translation';

/** Opens the listing of an address beside what is open, at its line. */
export async function openListing(guest: GuestSession, { address }: Pick<AddressTarget, 'address'>): Promise<void> {
    const { sourceReference, name, line } = await guest.request<ListingBody>('hyperscope/listing', {
        address,
        vcpu: guest.vcpu,
    });
    const uri = vscode.debug.asDebugSourceUri({ name, path: name, sourceReference }, guest.debug);
    const document = await vscode.workspace.openTextDocument(uri);
    const at = new vscode.Position(Math.max(0, line - 1), 0);
    await vscode.window.showTextDocument(document, { preview: true, selection: new vscode.Range(at, at) });
}

/** The texts of the Translator view: one document each for guest code, IR and WebAssembly of what was asked last. */
export class TranslationDocuments implements vscode.TextDocumentContentProvider, vscode.Disposable {
    private readonly changes = new vscode.EventEmitter<vscode.Uri>();
    readonly onDidChange = this.changes.event;
    private readonly texts = new Map<string, string>();
    private readonly registration = vscode.workspace.registerTextDocumentContentProvider(TRANSLATION_SCHEME, this);

    constructor(private readonly sessions: GuestSessions) {}

    dispose(): void {
        vscode.Disposable.from(this.registration, this.changes).dispose();
    }

    provideTextDocumentContent(uri: vscode.Uri): string {
        return this.texts.get(uri.path) ?? '';
    }

    /** Shows guest code, IR and WebAssembly side by side. */
    async show(address: string | undefined): Promise<void> {
        const guest = this.sessions.live;
        if (guest === undefined) return;
        const translation = await ask(guest, 'hyperscope/translation', { vcpu: guest.vcpu, address });
        if (translation.problem !== undefined && translation.blocks.length === 0) {
            // Code that has not run yet, say: another place may have more to show.
            const other = await vscode.window.showInputBox({
                title: `Nothing to show at ${translation.symbol ?? translation.address}`,
                prompt: `${translation.problem}. Another address or expression?`,
            });
            if (other !== undefined && other.trim() !== '') await this.show(other.trim());
            return;
        }
        const parts = Object.entries({
            Guest: guestText(translation),
            IR: irText(translation),
            WebAssembly: wasmText(translation),
        });
        for (const [index, [name, text]] of parts.entries()) {
            const uri = vscode.Uri.from({ scheme: TRANSLATION_SCHEME, path: `/${name}` });
            this.texts.set(uri.path, text);
            this.changes.fire(uri);
            const document = await vscode.workspace.openTextDocument(uri);
            await vscode.languages.setTextDocumentLanguage(document, TRANSLATION_LANGUAGE);
            await vscode.window.showTextDocument(document, {
                viewColumn: index + 1,
                preserveFocus: index > 0,
                preview: false,
            });
        }
    }
}

function heading({ address, symbol, tier, mode, heat }: TranslationBody): string {
    const name = symbol === undefined ? address : `${symbol} (${address})`;
    return `; ${name}\n; ${tier ?? 'not translated'}, ${mode ?? ''}${heat === undefined ? '' : `, entered ${heat} times`}\n`;
}

function blockHeading({
    address,
    symbol,
    heat,
    isEntry,
    isLoopHeader,
    exits,
}: TranslationBody['blocks'][number]): string {
    const marks = [isEntry && 'entry', isLoopHeader && 'loop', `entered ${heat} times`].filter(Boolean).join(', ');
    const on = exits.map(
        ({ kind, target, symbol: name, inside }) => `${kind} ${name ?? target ?? ''}${inside ? '' : ' (leaves)'}`,
    );
    return `\n${symbol ?? address}:  ; ${marks}${on.length === 0 ? '' : `; then ${on.join(', ')}`}\n`;
}

export function guestText(translation: TranslationBody): string {
    const blocks = translation.blocks.map(
        block =>
            blockHeading(block) +
            block.instructions
                .map(
                    ({ address, bytes, text, system }) =>
                        `${address}  ${bytes.padEnd(24)}  ${text}${system ? '  ; system' : ''}\n`,
                )
                .join(''),
    );
    return heading(translation) + blocks.join('');
}

export function irText(translation: TranslationBody): string {
    const blocks = translation.blocks.map(
        block =>
            blockHeading(block) +
            block.instructions
                .map(
                    ({ address, text, ir }) =>
                        `; ${address}  ${text}\n${(ir ?? []).map(line => `    ${line}\n`).join('')}`,
                )
                .join('') +
            (block.ir ?? []).map(line => `    ${line}\n`).join(''),
    );
    return heading(translation) + blocks.join('');
}

export function wasmText(translation: TranslationBody): string {
    const { wasm, tier, wasmBytes, blocks } = translation;
    if (wasm === undefined) {
        return `${heading(translation)}; ${tier === 'interpreter' ? 'not hot enough for a function of its own: it runs in the interpreter tier' : 'no WebAssembly'}\n`;
    }
    const notes = new Map<number, string>();
    for (const { instructions } of blocks) {
        for (const { address, text, wasmLines } of instructions) {
            if (wasmLines !== undefined) notes.set(wasmLines[0], `;; ${address}  ${text}`);
        }
    }
    const lines = wasm.split('\n').flatMap((line, number) => {
        const note = notes.get(number);
        return note === undefined ? [line] : [note, line];
    });
    return `${heading(translation)}; ${wasmBytes ?? 0} bytes\n${lines.join('\n')}\n`;
}

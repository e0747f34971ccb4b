/** The memory that the page knows: 4 KiB pages, fetched when they are looked at, with what they were at the stop before. */
import type { MemorySpace } from '../../messages/common';
import type { MemoryAnnotation, MemoryArguments, MemoryBody, MemoryPage } from '../../messages/memory';

export const PAGE = 0x1000n;

/** Pages that are kept; the ones looked at longest ago go first. */
const MOST_PAGES = 256;

export interface KnownPage {
    readonly bytes: Uint8Array;
    /** At the stop before, if it was known then. */
    readonly before: Uint8Array | undefined;
    readonly info: MemoryPage | undefined;
    /** By offset in the page. */
    readonly annotations: ReadonlyMap<number, MemoryAnnotation>;
    /** Of which stop it is. */
    readonly generation: number;
    readonly problem: string | undefined;
}

export interface View {
    readonly space: MemorySpace;
    readonly segment: string;
    readonly vcpu: number;
}

export class MemoryPages {
    private pages = new Map<bigint, KnownPage>();
    private readonly underway = new Set<bigint>();
    private generation = 0;
    private view: View = { space: 'linear', segment: 'ds', vcpu: 0 };

    constructor(
        private readonly fetch: (args: MemoryArguments) => Promise<MemoryBody>,
        private readonly arrived: () => void,
    ) {}

    /** The guest has stopped again: what is known is the state before. */
    nextStop(): void {
        this.generation++;
        this.underway.clear();
    }

    /** Somebody has changed memory: everything is asked anew, and compared with the same stop as before. */
    refresh(): void {
        for (const [address, page] of this.pages) this.pages.set(address, { ...page, generation: -1 });
        this.underway.clear();
    }

    look(view: View): void {
        if (view.space === this.view.space && view.segment === this.view.segment && view.vcpu === this.view.vcpu)
            return;
        this.view = view;
        this.forget();
    }

    forget(): void {
        this.pages.clear();
        this.underway.clear();
    }

    /** What is known of the page at an address (a multiple of 4 KiB); asks for it if that is not of this stop. */
    page(address: bigint): KnownPage | undefined {
        const page = this.pages.get(address);
        if (page?.generation !== this.generation && !this.underway.has(address)) void this.ask(address);
        return page;
    }

    /** All that was asked for has come. */
    get settled(): boolean {
        return this.underway.size === 0;
    }

    /** What is known already, without asking. */
    peek(address: bigint): KnownPage | undefined {
        return this.pages.get(address);
    }

    private async ask(address: bigint): Promise<void> {
        this.underway.add(address);
        const { view, generation } = this;
        const known = this.pages.get(address);
        // What is changed by hand at a stop counts as changed since the stop before.
        const before = known?.generation === -1 ? (known.before ?? known.bytes) : known?.bytes;
        let page: KnownPage;
        try {
            const body = await this.fetch({
                address: `0x${address.toString(16)}`,
                space: view.space,
                segment: view.space === 'virtual' ? view.segment : undefined,
                vcpu: view.vcpu,
                count: Number(PAGE),
                annotate: true,
            });
            page = {
                bytes: decode(body.data),
                before,
                info: body.pages[0],
                annotations: new Map(body.annotations.map(item => [item.offset, item])),
                generation,
                problem: body.pages[0]?.readable === false ? (body.pages[0].problem ?? 'not readable') : undefined,
            };
        } catch (error) {
            page = {
                bytes: new Uint8Array(0),
                before: undefined,
                info: undefined,
                annotations: new Map(),
                generation,
                problem: error instanceof Error ? error.message : String(error),
            };
        }
        if (view !== this.view || generation !== this.generation) return;
        this.underway.delete(address);
        this.pages.delete(address);
        this.pages.set(address, page);
        for (const oldest of this.pages.keys()) {
            if (this.pages.size <= MOST_PAGES) break;
            this.pages.delete(oldest);
        }
        this.arrived();
    }
}

/** Bytes of base64. */
export function decode(base64: string): Uint8Array {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
    return bytes;
}

export function encode(bytes: Uint8Array): string {
    return btoa(String.fromCharCode(...bytes));
}

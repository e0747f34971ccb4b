/**
 * Blocks by physical address and mode, for look-ups from translated code (`codegen/lookup-emitter.ts`): what a vCPU does
 * not find in its jump cache, be it after a change of address space or because two blocks share a slot there, is mostly
 * known all the same.
 *
 * Two places each, in a hash table in the shared memory. A block that has become invalid stays until its place is needed:
 * its header record leaves.
 */
import { blockKeyOf, BlockPlace, placeOf } from '../codegen/lookup-emitter';

const EMPTY = 0xffffffff;

export class BlockTable {
    private readonly words: Uint32Array;

    /** @param base address in the shared memory of `BlockPlace.tableSize` bytes */
    constructor(
        buffer: ArrayBufferLike,
        readonly base: number,
    ) {
        this.words = new Uint32Array(buffer, base, BlockPlace.tableSize >> 2);
        this.clear();
    }

    enter(physical: number, mode: number, record: number): void {
        const page = Math.floor(physical / 0x1000);
        const key = blockKeyOf(mode, physical & 0xfff);
        const first = placeOf(page, key) >> 2;
        const second = first ^ (BlockPlace.size >> 2);
        const at = this.isAt(second, page, key) || (!this.isFree(first, page, key) && this.isFree(second, page, key));
        const place = at ? second : first;
        this.words[place] = page;
        this.words[place + 1] = key;
        this.words[place + 2] = record;
    }

    /** To be called when records are used anew. */
    clear(): void {
        this.words.fill(EMPTY);
    }

    private isAt(place: number, page: number, key: number): boolean {
        return this.words[place] === page && this.words[place + 1] === key;
    }

    private isFree(place: number, page: number, key: number): boolean {
        return this.words[place] === EMPTY || this.isAt(place, page, key);
    }
}

/** 256 bits, one per interrupt vector: the shape of the local APIC's IRR, ISR and TMR. */
export class VectorSet {
    private readonly words = new Uint32Array(8);

    has(vector: number): boolean {
        return (this.words[vector >>> 5] & (1 << (vector & 31))) !== 0;
    }

    add(vector: number): void {
        this.words[vector >>> 5] |= 1 << (vector & 31);
    }

    delete(vector: number): void {
        this.words[vector >>> 5] &= ~(1 << (vector & 31));
    }

    clear(): void {
        this.words.fill(0);
    }

    /** The highest member, or -1. */
    highest(): number {
        for (let index = 7; index >= 0; index--) {
            const word = this.words[index];
            if (word !== 0) {
                return 32 * index + 31 - Math.clz32(word);
            }
        }
        return -1;
    }

    /** The 32-bit register that holds vectors 32·index to 32·index + 31. */
    word(index: number): number {
        return this.words[index];
    }

    toArray(): number[] {
        return Array.from(this.words);
    }

    assign(words: readonly number[]): void {
        this.words.set(words);
    }

    /** Members in ascending order, for display. */
    members(): number[] {
        return Array.from({ length: 256 }, (_, vector) => vector).filter(vector => this.has(vector));
    }
}

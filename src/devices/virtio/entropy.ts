/** Where random bytes come from. The machine decides whether they may differ from run to run. */
export interface EntropySource {
    fill(target: Uint8Array): void;
    /** The generator's state for snapshots; empty for a source that has none. */
    save(): Uint8Array;
    /** Takes what `save` gave; false where that cannot be this source's. */
    restore(state: Uint8Array): boolean;
}

/**
 * A generator that gives the same bytes on every run: xoshiro128** of Blackman and Vigna ("Scrambled Linear
 * Pseudorandom Number Generators", 2018), seeded by splitmix32. Not for secrets.
 */
export class DeterministicEntropy implements EntropySource {
    private readonly state = new Uint32Array(4);
    private readonly stateBytes = new Uint8Array(this.state.buffer);

    /** @param seed an unsigned 32-bit number */
    constructor(seed: number) {
        let position = seed >>> 0;
        for (let index = 0; index < 4; index++) {
            position = (position + 0x9e3779b9) >>> 0;
            let word = Math.imul(position ^ (position >>> 16), 0x85ebca6b);
            word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
            this.state[index] = word ^ (word >>> 16);
        }
    }

    fill(target: Uint8Array): void {
        for (let offset = 0; offset < target.length; offset += 4) {
            const word = this.next();
            for (let byte = 0; byte < 4 && offset + byte < target.length; byte++) {
                target[offset + byte] = word >>> (8 * byte);
            }
        }
    }

    /** The next 32 bits, unsigned. */
    next(): number {
        const state = this.state;
        const result = Math.imul(rotateLeft(Math.imul(state[1], 5), 7), 9) >>> 0;
        const shifted = state[1] << 9;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = rotateLeft(state[3], 11);
        return result;
    }

    save(): Uint8Array {
        return this.stateBytes.slice();
    }

    /** The all-zero state would give zeros for ever. */
    restore(state: Uint8Array): boolean {
        if (state.length !== this.stateBytes.length || state.every(byte => byte === 0)) {
            return false;
        }
        this.stateBytes.set(state);
        return true;
    }
}

function rotateLeft(value: number, count: number): number {
    return (value << count) | (value >>> (32 - count));
}

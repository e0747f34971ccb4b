/** Where names stand in a list. */
export class NamePlaces {
    /** Most names stand there once, and lists have hundreds of thousands: these take no array of their own. */
    private readonly places = new Map<string, number | number[]>();

    constructor(names: readonly string[]) {
        names.forEach((name, index) => {
            const known = this.places.get(name);
            if (known === undefined) this.places.set(name, index);
            else if (typeof known === 'number') this.places.set(name, [known, index]);
            else known.push(index);
        });
    }

    /** Ascending. */
    of(name: string): readonly number[] {
        const found = this.places.get(name);
        return found === undefined ? [] : typeof found === 'number' ? [found] : found;
    }

    /** Names that begin with a prefix, each once. */
    *startingWith(prefix: string): Generator<string> {
        for (const name of this.places.keys()) {
            if (name.startsWith(prefix)) yield name;
        }
    }
}

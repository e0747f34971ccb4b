/** The names of the bits that are set in `value`, for the Devices view. */
export function bitNames(bits: { readonly [name: string]: number }, value: number): string {
    return Object.keys(bits)
        .filter(name => value & bits[name])
        .join(', ');
}

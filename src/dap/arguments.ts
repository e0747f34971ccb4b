/** The arguments of a request, which may be anything that JSON can say. */
import { type Address, parseAddress } from '../debug/address';
import { RequestError } from './request-error';

type Json = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Json {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads arguments one by one; each that is not what it has to be is a `RequestError` that names it. */
export class RequestArguments {
    private readonly values: Json;

    /** @param path of the object inside the request, for messages */
    constructor(
        values: unknown,
        private readonly path = '',
    ) {
        this.values = isRecord(values) ? values : {};
    }

    string(name: string): string {
        return this.optionalString(name) ?? this.fail(name, 'has to be a string');
    }

    optionalString(name: string): string | undefined {
        const value = this.values[name] ?? undefined;
        return value === undefined || typeof value === 'string' ? value : this.fail(name, 'has to be a string');
    }

    flag(name: string): boolean {
        return this.values[name] === true;
    }

    /** An integer, in a range. */
    integer(name: string, least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER): number {
        const value = this.values[name];
        if (!Number.isSafeInteger(value)) {
            return this.fail(name, 'has to be an integer');
        }
        const number = value as number;
        return number < least || number > most ? this.fail(name, `has to be from ${least} to ${most}`) : number;
    }

    optionalInteger(name: string, otherwise: number, least?: number, most?: number): number {
        return (this.values[name] ?? undefined) === undefined ? otherwise : this.integer(name, least, most);
    }

    /** An object inside. */
    object(name: string): RequestArguments {
        const value = this.values[name];
        return isRecord(value)
            ? new RequestArguments(value, `${this.path}${name}.`)
            : this.fail(name, 'has to be an object');
    }

    /** The objects of an array; none if there is no array. */
    list(name: string): RequestArguments[] {
        const value = this.values[name] ?? [];
        if (!Array.isArray(value)) {
            return this.fail(name, 'has to be an array');
        }
        return value.map((item, index) => new RequestArguments(item, `${this.path}${name}[${index}].`));
    }

    strings(name: string): string[] {
        const value = this.values[name] ?? [];
        if (!Array.isArray(value) || value.some(item => typeof item !== 'string')) {
            return this.fail(name, 'has to be an array of strings');
        }
        return value as string[];
    }

    /** A memory reference as we give them out, with the byte offset that belongs to it. */
    address(name: string, offsetName = 'offset'): Address {
        const text = this.string(name);
        const address = parseAddress(text);
        if (address === undefined) {
            return this.fail(name, `has to be an address such as 0x1000 or phys:0x1000, not '${text}'`);
        }
        const offset = BigInt(this.optionalInteger(offsetName, 0));
        return { ...address, offset: BigInt.asUintN(64, address.offset + offset) };
    }

    has(name: string): boolean {
        return (this.values[name] ?? undefined) !== undefined;
    }

    get raw(): Json {
        return this.values;
    }

    private fail(name: string, problem: string): never {
        throw new RequestError(`${this.path}${name} ${problem}`);
    }
}

/** What the requests of all inspection views share: the target, the vCPU that is meant, addresses as users write them. */
import { type Address, formatAddress, parseAddress } from '../debug/address';
import type { Look } from '../debug/inspection-source';
import { pattern } from '../debug/expression/value';
import type { DebugTarget } from '../debug/target';
import type { GuestNaming } from '../inspect/naming';
import type { RequestArguments } from './arguments';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';

export class InspectionContext {
    constructor(readonly session: SessionContext) {}

    get target(): DebugTarget {
        return this.session.target;
    }

    /** Names that somebody who knows the guest's operating system gives. */
    get naming(): GuestNaming {
        return this.session.guest?.naming ?? {};
    }

    /** Memory was written by hand. */
    memoryChanged(at: Address, count: number): void {
        memoryWritten(this.session, formatAddress(at), 0, count);
    }

    vcpu(args: RequestArguments): number {
        return args.optionalInteger('vcpu', this.session.focus, 0, this.target.vcpus - 1);
    }

    look<T>(vcpu: number, look: Look<T>): Promise<T> {
        const { target } = this;
        if (target.inspect === undefined) {
            throw new RequestError('this target does not show its memory and system registers');
        }
        return target.inspect(vcpu, look);
    }

    /** A number, a memory reference or an expression. */
    async address(vcpu: number, text: string): Promise<Address> {
        const reference = parseAddress(text.trim());
        if (reference !== undefined) {
            return reference;
        }
        const { value } = await this.target.evaluate(vcpu, text, false);
        return { space: value.space, offset: pattern(value) };
    }

    /** An argument that is a number or an expression. */
    async number(vcpu: number, args: RequestArguments, name: string): Promise<bigint | undefined> {
        const text = args.optionalString(name);
        return text === undefined ? undefined : (await this.address(vcpu, text)).offset;
    }
}

/** An argument that is one of several words. */
export function choice<T extends string>(args: RequestArguments, name: string, options: readonly T[]): T | undefined {
    const text = args.optionalString(name);
    if (text !== undefined && !options.includes(text as T)) {
        throw new RequestError(`${name} has to be one of ${options.join(', ')}, not '${text}'`);
    }
    return text as T | undefined;
}

/** Tells the client that memory was written by hand. */
export function memoryWritten(session: SessionContext, memoryReference: string, offset: number, count: number): void {
    if (session.client.memory) {
        session.emitEvent('memory', { memoryReference, offset, count });
    }
    session.guestChanged();
}

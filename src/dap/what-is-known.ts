import { HyperscopeError } from '../common/errors';

/** What a look at the guest tells, or something else where nothing can be asked of it any more, as behind a lost connection. */
export async function whatIsKnown<T>(look: () => Promise<T>, otherwise: T): Promise<T> {
    try {
        return await look();
    } catch (error) {
        if (!(error instanceof HyperscopeError)) throw error;
        return otherwise;
    }
}

/** A guest in another process, behind a gdb stub. */
import type { Endpoint } from '../common/endpoint';
import type { Guest } from './guest';
import type { AttachConfiguration } from './launch-configuration';
import { RequestError } from './request-error';

/**
 * Connects to a stub; the guest is as it was, running or stopped.
 * @throws HyperscopeError
 */
export async function connectToStub({ host, port }: Endpoint, _configuration: AttachConfiguration): Promise<Guest> {
    throw new RequestError(`gdb: this version cannot attach to a gdb stub, such as the one at ${host}:${port}`);
}

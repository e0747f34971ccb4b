/**
 * Entropy device: fills the buffers that the driver offers with random bytes.
 *
 * Virtual I/O Device (VIRTIO) Version 1.2, section 5.4.
 */
import type { DeviceRegister, StateValue } from '../device';
import type { StateReader } from '../state-reader';
import type { EntropySource } from './entropy';
import { VirtioDevice, VirtioType } from './virtio-device';
import type { Virtqueue } from './virtqueue';

/** The most that one request is given: the device may fill less of a buffer than there is (section 5.4.6.2). */
const requestLimit = 0x10000;

export class VirtioRng extends VirtioDevice {
    override readonly type = VirtioType.entropy;
    override readonly pciClass = 0x00ff00;
    override readonly queueSizes = [64];
    private readonly entropy: EntropySource;
    private readonly chunk = new Uint8Array(4096);
    private given = 0;

    constructor(entropy: EntropySource) {
        super();
        this.entropy = entropy;
    }

    override notified(queue: Virtqueue): void {
        // A buffer that overlies the rings could make more chains available for ever.
        for (let count = 0; count < queue.size; count++) {
            const chain = queue.take();
            if (chain === undefined) {
                break;
            }
            const wanted = Math.min(chain.writableLength, requestLimit);
            while (chain.written < wanted) {
                const part = this.chunk.subarray(0, Math.min(this.chunk.length, wanted - chain.written));
                this.entropy.fill(part);
                chain.write(part);
            }
            this.given += chain.written;
            queue.complete(chain, chain.written);
        }
        this.transport.completed(queue);
    }

    override reset(): void {
        // The entropy source goes on.
    }

    override save(): { readonly [field: string]: StateValue } {
        return { entropy: this.entropy.save(), given: this.given };
    }

    override restore(state: StateReader): void {
        if (!this.entropy.restore(state.bytes('entropy'))) {
            throw state.bad('entropy', 'not the state of this machine’s entropy source');
        }
        this.given = state.count('given');
    }

    override inspect(): DeviceRegister[] {
        return [{ name: 'given', value: this.given, description: 'random bytes since power-on' }];
    }
}

/** Virtio devices with a driver, for tests of the transport and of queues. */
import type { StateValue } from '../../../src/devices/device';
import { DeterministicEntropy } from '../../../src/devices/virtio/entropy';
import { VirtioDevice } from '../../../src/devices/virtio/virtio-device';
import { VirtioRng } from '../../../src/devices/virtio/virtio-rng';
import type { Virtqueue } from '../../../src/devices/virtio/virtqueue';
import { VirtioDriver } from './virtio-driver';

export const rng = (options = {}) => new VirtioDriver(new VirtioRng(new DeterministicEntropy(1)), options);

/** What the entropy device of these tests gives first. */
export function expected(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    new DeterministicEntropy(1).fill(bytes);
    return bytes;
}

/** Answers each request with its bytes in reverse; has configuration of its own. */
export class Reverser extends VirtioDevice {
    override readonly type = 2;
    override readonly pciClass = 0x010000;
    override readonly queueSizes = [16, 4];
    override readonly features = 1n << 5n;
    override readonly configurationSize = 8;
    private readonly settings = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

    override readConfiguration(offset: number, size: number): number {
        return size === 1 ? this.settings[offset] : this.settings[offset] | (this.settings[offset + 1] << 8);
    }

    override writeConfiguration(offset: number, _size: number, value: number): void {
        this.settings[offset] = value;
    }

    override notified(queue: Virtqueue): void {
        for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
            const request = new Uint8Array(Math.min(chain.readableLength, 4096));
            chain.read(request);
            chain.write(request.reverse());
            queue.complete(chain, chain.written);
        }
        this.transport.completed(queue);
    }

    grow(): void {
        this.settings[0]++;
        this.transport.configurationChanged();
    }

    override reset(): void {
        this.settings[7] = 8;
    }

    override save(): { readonly [field: string]: StateValue } {
        return { settings: this.settings.slice() };
    }
}

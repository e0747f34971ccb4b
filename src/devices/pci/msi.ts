/**
 * MSI capability: up to 32 messages with a 64-bit address and per-vector masking.
 *
 * PCI Local Bus Specification, revision 3.0, section 6.8.1.
 */
import { PciCapability, type ConfigurationSpace } from './configuration-space';

const Control = { enable: 1, multipleEnable: 0x70, wide: 0x80, perVectorMasking: 0x100 } as const;
const length = 24;

export class MsiCapability {
    readonly offset: number;
    private readonly configuration: ConfigurationSpace;
    private readonly send: (address: number, data: number) => void;

    /**
     * @param vectors messages that the function would like: 1, 2, 4, 8, 16 or 32
     * @param send takes the message; checks bus mastering by itself
     */
    constructor(configuration: ConfigurationSpace, vectors: number, send: (address: number, data: number) => void) {
        this.configuration = configuration;
        this.send = send;
        this.offset = configuration.addCapability(PciCapability.msi, length);
        const capable = 31 - Math.clz32(vectors);
        configuration.set(this.offset + 2, 2, Control.wide | Control.perVectorMasking | (capable << 1));
        configuration.allow(this.offset + 2, 2, Control.enable | Control.multipleEnable);
        configuration.allow(this.offset + 4, 4, 0xfffffffc);
        configuration.allow(this.offset + 8, 4, 0xffffffff);
        configuration.allow(this.offset + 12, 2, 0xffff);
        configuration.allow(this.offset + 16, 4, vectors === 32 ? 0xffffffff : (1 << vectors) - 1);
        configuration.freeze();
    }

    get enabled(): boolean {
        return (this.configuration.get(this.offset + 2, 2) & Control.enable) !== 0;
    }

    /** Signals a vector: sends its message, or remembers it while masked. Vectors past those granted share the last. */
    signal(vector: number): void {
        if (!this.enabled) {
            return;
        }
        const granted = 1 << ((this.configuration.get(this.offset + 2, 2) & Control.multipleEnable) >>> 4);
        const index = vector & (Math.min(granted, 32) - 1);
        if ((this.mask >>> index) & 1) {
            this.configuration.set(this.offset + 20, 4, (this.pending | (1 << index)) >>> 0);
            return;
        }
        const low = this.configuration.get(this.offset + 4, 4);
        const high = this.configuration.get(this.offset + 8, 4);
        const data = this.configuration.get(this.offset + 12, 2);
        this.send(high * 2 ** 32 + low, (data & ~(Math.min(granted, 32) - 1)) | index);
    }

    /** To be called after configuration writes: sends what has been unmasked. */
    configurationWritten(): void {
        const ready = this.enabled ? this.pending & ~this.mask : 0;
        if (ready !== 0) {
            this.configuration.set(this.offset + 20, 4, (this.pending & ~ready) >>> 0);
            for (let vector = 0; vector < 32; vector++) {
                if ((ready >>> vector) & 1) {
                    this.signal(vector);
                }
            }
        }
    }

    private get mask(): number {
        return this.configuration.get(this.offset + 16, 4);
    }

    private get pending(): number {
        return this.configuration.get(this.offset + 20, 4);
    }
}

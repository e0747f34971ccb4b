import { allOnes } from '../../devices/byte-wide';
import type { IoRegion } from '../../devices/device';
import type { LocalApic } from '../../devices/local-apic';
import type { BarMapper } from './bar-mapper';

const APIC_SIZE = 0x1000;

/**
 * The pages where local APICs answer. Each processor sees its own at the address in its IA32_APIC_BASE; nearly always
 * it is one address for all.
 */
export class LocalApicPages {
    private readonly unmap = new Map<number, () => void>();

    /** @param current index of the processor that is executing */
    constructor(
        private readonly mapper: BarMapper,
        private readonly apics: readonly LocalApic[],
        private readonly current: () => number,
    ) {
        this.update();
    }

    /** To be called when any base address or mode has changed. */
    update(): void {
        const wanted = new Set(this.apics.filter(apic => apic.mmioEnabled).map(apic => apic.baseAddress));
        for (const [base, remove] of this.unmap) {
            if (!wanted.has(base)) {
                this.unmap.delete(base);
                remove();
            }
        }
        for (const base of wanted) {
            if (!this.unmap.has(base)) {
                this.unmap.set(base, this.mapper.map('memory', 'local APIC', base, APIC_SIZE, this.page(base)));
            }
        }
    }

    private page(base: number): IoRegion {
        const own = (): IoRegion | undefined => {
            const apic = this.apics[this.current()];
            return apic.mmioEnabled && apic.baseAddress === base ? apic.mmio : undefined;
        };
        return {
            read: (offset, size) => own()?.read(offset, size) ?? allOnes(size),
            write: (offset, size, value) => own()?.write(offset, size, value),
            inProcessor: true,
        };
    }
}

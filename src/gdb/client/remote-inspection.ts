/** A guest behind a gdb stub as views look at it. */
import { TargetError } from '../../debug/errors';
import type { InspectionSource, PhysicalRegion, SystemState } from '../../debug/inspection-source';
import { systemState } from '../../debug/machine-inspection';
import type { MirroredCpu } from './mirrored-cpu';

/** What has to be known for each part of the state. */
const NEEDED: Readonly<Partial<Record<keyof SystemState, string>>> = {
    cr0: 'cr0',
    cr3: 'cr3',
    cr4: 'cr4',
    efer: 'efer',
    gdtr: 'gdtr',
    idtr: 'idtr',
    ldtr: 'ldtr.',
    tr: 'tr.',
};

/** The state, but for what the stub does not tell: whoever asks for that hears so. */
function knownState(mirror: MirroredCpu): SystemState {
    const state = { ...systemState(mirror.cpu), pdptes: undefined };
    for (const [part, register] of Object.entries(NEEDED)) {
        if (mirror.isKnown(register)) continue;
        Object.defineProperty(state, part, {
            get: () => {
                const name = part.toUpperCase();
                throw new TargetError(`the gdb stub does not tell ${name}, which this view is made of`);
            },
        });
    }
    return state;
}

export class RemoteInspection implements InspectionSource {
    readonly vcpu: number;
    readonly vcpus: number;
    readonly system: SystemState;
    readonly machine = undefined;

    /** @param problem why there is no way to physical memory, if so */
    constructor(
        mirror: MirroredCpu,
        { vcpu, vcpus }: { readonly vcpu: number; readonly vcpus: number },
        readonly regions: readonly PhysicalRegion[] | undefined,
        private readonly problem: string | undefined,
        private readonly physical: (address: number) => Uint8Array | undefined,
        readonly symbol: (linear: bigint) => string | undefined,
    ) {
        this.vcpu = vcpu;
        this.vcpus = vcpus;
        this.system = knownState(mirror);
    }

    page(physical: number): Uint8Array | undefined {
        if (this.problem !== undefined) {
            throw new TargetError(this.problem);
        }
        return this.physical(physical);
    }
}

/**
 * What is known of a guest behind a stub: its vCPUs, mirrored, and its memory, as far as somebody has looked at it since
 * the guest last went on. Everything here asks the stub, and so only while the guest stands still.
 */
import type { Address } from '../../debug/address';
import { TargetError } from '../../debug/errors';
import type { InspectionSource, PhysicalRegion } from '../../debug/inspection-source';
import { littleEndian } from '../../debug/memory-access';
import { findRegister, type RegisterView } from '../../debug/registers/register-file';
import { VcpuView } from '../../debug/vcpu-view';
import { StateOffset } from '../../machine/state';
import type { SymbolTable } from '../../symbols/symbol-table';
import { MirroredCpu } from './mirrored-cpu';
import { type MonitorState, parseMemoryMap, parseRegisters } from './monitor-state';
import { PhysicalMemory } from './physical-memory';
import { RemoteInspection } from './remote-inspection';
import { RemoteMemory, RemoteMemoryView } from './remote-memory';
import type { Stub } from './stub';

const PAGE = 0x1000;
/** Registers of our own stub: its instruction pointer is linear. */
const OWN_FEATURE = 'org.hyperscope.system';
const UNKNOWN = 'the gdb stub does not tell it';

export class RemoteState {
    readonly mirrors: readonly MirroredCpu[];
    readonly views: readonly VcpuView[];
    readonly memories: readonly RemoteMemoryView[];
    readonly memory: RemoteMemory;
    readonly physical: PhysicalMemory;
    /** The stub's instruction pointer is a linear address rather than an offset in CS. */
    readonly isLinear: boolean;
    /** Counts the times that the guest has gone on. By vCPU: when its registers were read, and what the monitor says. */
    private epoch = 1;
    private readonly registersOf: number[];
    private readonly wholeOf: number[];
    /** When the monitor was asked, about all vCPUs at once. */
    private monitorOf = 0;
    private monitor: readonly MonitorState[] | undefined;
    private hasMonitor = true;
    /** Null before somebody has asked. */
    private regions: readonly PhysicalRegion[] | undefined | null = null;

    constructor(
        private readonly stub: Stub,
        private readonly symbols: SymbolTable,
        isQemu: boolean,
    ) {
        const { threads, layout } = stub;
        this.physical = new PhysicalMemory(
            stub,
            () => threads[0],
            () => this.toldDirectMap(),
        );
        this.memory = new RemoteMemory({
            linear: (vcpu, address) => this.fetchLinear(vcpu, address),
            physical: address => this.fetchPhysical(address),
        });
        this.memories = threads.map((_, vcpu) => new RemoteMemoryView(this.memory, vcpu));
        this.isLinear = layout.features.includes(OWN_FEATURE);
        const { isLinear } = this;
        this.mirrors = threads.map(
            (_, vcpu) =>
                new MirroredCpu(layout, { isLinear, physicalX87: isQemu }, vcpu, threads.length, address =>
                    this.memory.physicalPage(address),
                ),
        );
        this.memories.forEach((view, vcpu) => (view.mirror = this.mirrors[vcpu]));
        this.views = this.mirrors.map(
            (mirror, vcpu) =>
                new VcpuView(
                    mirror.cpu,
                    this.memories[vcpu],
                    symbols,
                    () => mirror.cpu.stateReplaced(),
                    name => (mirror.isKnown(name) ? undefined : UNKNOWN),
                ),
        );
        this.registersOf = threads.map(() => 0);
        this.wholeOf = threads.map(() => 0);
    }

    /** The guest goes on, or was changed: nothing that was read holds any more. */
    forget(): void {
        this.epoch++;
        this.memory.forget();
        this.physical.forget();
    }

    /** Reads the registers of a vCPU if they may have changed. Only while the guest stands still. */
    async refresh(vcpu: number, wholly = false): Promise<void> {
        const { stub } = this;
        const mirror = this.mirrors[vcpu];
        const isFresh = this.registersOf[vcpu] === this.epoch;
        if (isFresh && (!wholly || this.wholeOf[vcpu] === this.epoch || !this.hasMonitor)) return;
        const thread = stub.threads[vcpu];
        const values = await stub.readRegisters(thread);
        if (this.hasMonitor && this.monitorOf !== this.epoch && (wholly || mirror.hasNewSegments(values))) {
            this.monitor = parseRegisters((await stub.monitor('info registers -a')) ?? '');
            this.hasMonitor = this.monitor !== undefined;
            this.monitorOf = this.epoch;
        }
        const halted = / \[halted *\]/i.test(await stub.describeThread(thread));
        const isWhole = this.monitorOf === this.epoch;
        mirror.update(values, this.monitor?.[vcpu], isWhole, halted);
        this.registersOf[vcpu] = this.epoch;
        if (isWhole) this.wholeOf[vcpu] = this.epoch;
    }

    /** A look, repeated until all memory that it asks for is at hand. Only while the guest stands still. */
    async gather<T>(look: () => T): Promise<T> {
        await this.preparePhysical();
        const { result } = await this.memory.gather(look, () => this.mirrors.forEach(mirror => mirror.forgetPages()));
        return result;
    }

    /** Finds out whether page tables can be looked at. */
    async preparePhysical(vcpu = 0): Promise<string | undefined> {
        if (this.regions === null) {
            this.regions = parseMemoryMap((await this.stub.monitor('info mtree -f')) ?? '');
        }
        const { cpu } = this.mirrors[vcpu];
        const of = (name: string): bigint | undefined =>
            this.mirrors[vcpu].isKnown(name) ? findRegister(name)!.read(cpu) : undefined;
        const problem = await this.physical.problem({
            cr0: of('cr0'),
            cr3: of('cr3'),
            cr4: of('cr4'),
            is64: cpu.code64 || cpu.longMode,
        });
        this.memories.forEach(
            (view, index) => (view.hasPhysical = problem === undefined && this.mirrors[index].isKnown('cr3')),
        );
        return problem;
    }

    /** A look that may change registers and memory: what it has changed is told to the stub afterwards. */
    async changing<T>(vcpu: number, look: () => T): Promise<T> {
        await this.preparePhysical();
        const mirror = this.mirrors[vcpu];
        const before = mirror.save();
        try {
            const { result, writes } = await this.memory.gather(look, () => {
                mirror.restore(before);
                mirror.forgetPages();
            });
            for (const { name, value } of mirror.changesSince(before)) {
                await this.physical.leave();
                await this.stub.writeRegister(this.stub.threads[vcpu], name, value);
            }
            for (const { address, bytes } of writes) {
                const written = await this.store(vcpu, address, bytes);
                if (written < bytes.length) throw new TargetError('the gdb stub does not write this memory');
            }
            return result;
        } finally {
            this.forget();
            await this.refresh(vcpu);
        }
    }

    // ---- memory ----------------------------------------------------------------------------------------------------

    private async fetchLinear(vcpu: number, address: bigint): Promise<Uint8Array | undefined> {
        await this.physical.leave();
        const page = await this.stub.readMemory(this.stub.threads[vcpu], address, PAGE);
        return page.length === PAGE ? page : undefined;
    }

    private async fetchPhysical(address: bigint): Promise<Uint8Array | undefined> {
        if (this.deviceAt(Number(address))) return undefined;
        const page = await this.physical.read(address, PAGE);
        return page.length === PAGE ? page : undefined;
    }

    /** Reads of devices have effects: what is known to be one is left alone. */
    private deviceAt(address: number): boolean {
        const regions = this.regions ?? undefined;
        return (
            regions !== undefined &&
            !regions.some(({ first, last, kind }) => first <= address && last >= address && kind !== 'device')
        );
    }

    async readNumber(vcpu: number, address: bigint, length: number): Promise<bigint | undefined> {
        await this.physical.leave();
        const bytes = await this.stub.readMemory(this.stub.threads[vcpu], address, length);
        return bytes.length === length ? littleEndian(bytes) : undefined;
    }

    async store(vcpu: number, { space, offset }: Address, bytes: Uint8Array): Promise<number> {
        if (space === 'linear') {
            await this.physical.leave();
            return this.stub.writeMemory(this.stub.threads[vcpu], offset, bytes);
        }
        const problem = await this.preparePhysical();
        if (problem !== undefined) throw new TargetError(problem);
        return this.physical.write(offset, bytes);
    }

    /** The kernel's own word on where it has mapped all memory. */
    private async toldDirectMap(): Promise<bigint | undefined> {
        const variable = this.symbols.named('page_offset_base')[0]?.address;
        return variable === undefined ? undefined : this.readNumber(0, variable, 8);
    }

    // ---- inspection ------------------------------------------------------------------------------------------------

    /** The guest as views look at it; to be looked at within {@link gather}. */
    async inspection(vcpu: number): Promise<InspectionSource> {
        const problem = await this.preparePhysical(vcpu);
        return new RemoteInspection(
            this.mirrors[vcpu],
            { vcpu, vcpus: this.mirrors.length },
            this.regions ?? undefined,
            problem,
            address => this.memory.physicalPage(address),
            linear => this.symbols.format(linear),
        );
    }

    /** Leaves out what is not the guest's. */
    known(vcpu: number, view: RegisterView): RegisterView {
        const mirror = this.mirrors[vcpu];
        const { name, width, parts } = view;
        if (!mirror.isKnown(name)) {
            return { name, width, value: 0n, text: '?', writable: false, problem: UNKNOWN };
        }
        return {
            ...view,
            writable: view.writable && mirror.isWritable(name),
            parts: parts?.map(part => this.known(vcpu, part)),
        };
    }

    /** PAE paging has its first level in registers, which no stub tells: they are loaded from memory. */
    loadDirectoryPointers(vcpu: number): void {
        const { cpu } = this.mirrors[vcpu];
        if (cpu.longMode || !cpu.protectedMode) return;
        const bytes = this.memories[vcpu].read({ space: 'physical', offset: cpu.get64(StateOffset.cr3) & ~31n }, 32);
        for (let index = 0; index < 4 && bytes.length === 32; index++) {
            cpu.set64(StateOffset.pdpte + 8 * index, littleEndian(bytes.subarray(8 * index, 8 * index + 8)));
        }
    }
}

import type { Device, StateValue } from '../devices/device';
import { TEST_DEVICE_MEMORY } from '../devices/test-device';
import { DeterministicEntropy, type EntropySource } from '../devices/virtio/entropy';
import { type AcpiOptions, type AcpiTables, buildAcpiTables } from './acpi/tables';
import { Board } from './board/board';
import { BoardMap } from './board/board-map';
import { type DirectBootTarget, prepareDirectBoot, resumeDirectBoot } from './board/direct-boot';
import { describeToFirmware, offerKernel, replaceTables } from './board/firmware-data';
import { announceResume, forgetShutdownStatus, goesOnAfterReset, mapResetRom, RESET_ROM_SIZE } from './board/reset-rom';
import { LocalApicPages } from './board/local-apics';
import { PortBus } from './bus';
import { VirtualClock } from './clock';
import type { FeatureWords } from './cpu/cpuid';
import { memoryMap } from './e820';
import type { Engine, EngineFactory } from './engine';
import { ConfigurationError } from './errors';
import { InputQueue } from './input-queue';
import type { BootRequest } from './loaders/boot-context';
import { mapFirmware } from './loaders/firmware';
import type { ImageFile } from './loaders/image';
import { applyInitialState } from './loaders/initial-state';
import type { LinuxEntry } from './loaders/linux-header';
import { isMultiboot, loadKernel } from './loaders/load';
import { hashState, restoreMachine, saveMachine } from './machine-state';
import { GuestMemory } from './memory';
import { Processor } from './processor';
import { interruptSource } from './board/interrupt-source';
import { Observation } from './observation/observation';
import { CPUID_NS, MMIO_ACCESS_NS, PORT_ACCESS_NS, RunLoop } from './run-loop';
import { ActivityState } from './state';
import type { MachineStop, RunLimits } from './stop';

/** 2025-01-01 00:00 UTC: a deterministic machine has to be switched on at some time. */
const DEFAULT_EPOCH_SECONDS = 1_735_689_600;
const DEFAULT_QUANTUM = 200_000;
const MAXIMUM_CPUS = 254;

/** Where the guest's output goes. */
export interface MachineOutputs {
    /** By serial port; the machine has as many (0–2). None of them may call back into the machine. */
    readonly serial?: readonly ((byte: number) => void)[];
    readonly debugConsole?: (byte: number) => void;
    readonly postCode?: (code: number) => void;
}

export interface MachineOptions extends MachineOutputs {
    /** Guest RAM in bytes. */
    readonly memory: number;
    readonly cpus?: number;
    readonly engine: EngineFactory;
    /** Bytes of the shared memory that the engine wants for code records. */
    readonly engineArena?: number;
    /** A ROM to start from. Without it, there has to be a kernel. */
    readonly firmware?: ImageFile;
    readonly kernel?: BootRequest;
    /** For a Linux kernel: the entry point to use, instead of the best one. */
    readonly entry?: LinuxEntry;
    /** Real-time mode: nanoseconds of the host's monotonic clock. Without it, virtual time is deterministic. */
    readonly hostTime?: () => number;
    /** Date at power-on, in seconds since 1970. */
    readonly epochSeconds?: number;
    /** Seed of the deterministic random numbers that the guest gets. */
    readonly seed?: number;
    /** Random numbers of the host instead: fills the array. They go through the input queue. */
    readonly hostEntropy?: (target: Uint8Array) => void;
    /** Instructions that a vCPU runs before the next one gets its turn. */
    readonly quantum?: number;
    /** Stop with `reset` where the guest resets the machine. */
    readonly stopOnReset?: boolean;
    /** Whether CPUID shows the hypervisor bit. */
    readonly hypervisor?: boolean;
    /** Host nanoseconds, monotonic: tells how long the guest's exits take. Nothing of it reaches the guest. */
    readonly exitClock?: () => number;
    /** Whether CPUID takes the time that it takes below a hypervisor; unless told otherwise, it does. */
    readonly slowCpuid?: boolean;
    /** Mask on the processor's features, for machines that move between engines. */
    readonly features?: FeatureWords;
}

interface KeyInput {
    readonly key: string;
    readonly pressed: boolean;
}

interface MouseInput {
    readonly right: number;
    readonly down: number;
    readonly wheel: number;
}

/** A field of input that may be anything. */
function field(data: StateValue, name: string): StateValue | undefined {
    return (data as { readonly [name: string]: StateValue } | null)?.[name];
}

/**
 * A PC: memory, devices and processors on one board, executed by an injected engine. It is switched on when it is
 * constructed; {@link run} makes it go.
 */
export class Machine {
    readonly options: MachineOptions;
    readonly memory: GuestMemory;
    readonly bus = new PortBus();
    readonly clock: VirtualClock;
    readonly queue: InputQueue;
    readonly engine: Engine;
    readonly board: Board;
    readonly processors: readonly Processor[];
    readonly loop: RunLoop;
    /** What the guest does to its machine: counted, and open to debuggers. */
    readonly observation: Observation;
    /** Random numbers for RDRAND and RDSEED. */
    readonly entropy: EntropySource;

    private readonly apicPages: LocalApicPages;
    private readonly acpi: AcpiOptions;
    private readonly tables: AcpiTables;

    /**
     * @throws MemorySizeError if the memory cannot be had
     * @throws LoadError if the kernel, its modules or the firmware cannot be loaded
     * @throws ConfigurationError for options that contradict each other
     */
    constructor(options: MachineOptions) {
        this.options = options;
        const count = options.cpus ?? 1;
        if (!Number.isInteger(count) || count < 1 || count > MAXIMUM_CPUS) {
            throw new ConfigurationError(`${count} processors: a machine has 1 to ${MAXIMUM_CPUS}`);
        }
        if (options.firmware === undefined && options.kernel === undefined) {
            throw new ConfigurationError('nothing to start: the machine needs a kernel or a firmware');
        }
        this.memory = new GuestMemory({
            ramSize: options.memory,
            cpus: count,
            arenaSize: options.engineArena,
            romSize: options.firmware?.data.length ?? RESET_ROM_SIZE,
        });
        const engine = options.engine(this.memory);
        this.engine = engine;
        this.clock = new VirtualClock(() => engine.retired());
        this.queue = new InputQueue(() => ({ instructions: engine.retired(), time: this.clock.now() }));
        this.memory.onExternalWrite(page => engine.invalidatePage(page));
        this.memory.onMapChange(() => engine.mapChanged());
        this.memory.dmaObserver = (address, size, write) => engine.deviceAccess?.(address, size, write);
        this.memory.onDeviceAccess = () => this.loop.passTime(MMIO_ACCESS_NS);
        if (options.firmware === undefined) {
            mapResetRom(this.memory);
        } else {
            mapFirmware(options.firmware, this.memory);
        }

        this.observation = this.buildObservation();
        this.entropy = this.entropySource('entropy', 1);
        this.board = this.buildBoard(count);
        this.processors = Array.from({ length: count }, (_, index) => this.buildProcessor(index, count));
        for (const processor of this.processors) {
            engine.addProcessor(processor);
        }
        this.loop = this.buildRunLoop();
        this.apicPages = new LocalApicPages(
            this.board.mapper,
            this.processors.map(({ apic }) => apic),
            () => this.loop.current,
        );
        this.connectInputs();

        const { layout } = this.memory;
        this.acpi = {
            cpus: count,
            apicIds: this.processors.map(({ index }) => index),
            ioApicId: count,
            serialPorts: this.board.uarts.map((_, index) => index),
            pciMemory: {
                first: Math.max(BoardMap.pciMemoryMinimum, layout.lowRam),
                last: BoardMap.pciMemoryEnd - 1,
            },
            powerManagement: BoardMap.powerManagement,
            hpetCapabilities: this.board.hpet.mmio.read(0, 4),
        };
        this.tables = buildAcpiTables(this.acpi);
        describeToFirmware(this.board, layout, count, this.tables);
        this.powerOn();
    }

    /** Every device with state, in the order in which they are restored: sources, controllers, local APICs. */
    get devices(): readonly Device[] {
        return [...this.board.devices, ...this.processors.map(({ apic }) => apic)];
    }

    /** Runs until something stops it; may be called again afterwards. Never throws for what the guest does. */
    run(limits: RunLimits = {}): MachineStop {
        return this.loop.run(limits);
    }

    /** Makes a {@link run} in progress stop soon: for device callbacks and other threads' messages. */
    requestStop(): void {
        this.loop.requestStop();
    }

    /** The reset button. RAM keeps its contents, as it does on a PC; a kernel is loaded anew. */
    reset(): void {
        forgetShutdownStatus(this.board.rtc);
        this.restart();
    }

    /** The file of {@link restoreState}, in pieces to be written one after the other. */
    saveState(): Generator<Uint8Array, void, void> {
        return saveMachine(this);
    }

    /**
     * Continues from a saved state. The machine has to be built from the same options.
     * @throws SnapshotError if the file is unusable; the machine is then in no usable state unless it says otherwise
     */
    restoreState(file: Uint8Array): void {
        restoreMachine(this, file);
    }

    /** 16 hexadecimal digits that tell whether two machines are in the same state: RAM, vCPUs and devices. */
    stateHash(): string {
        return hashState(this);
    }

    // ---- input: all of it goes through the queue -----------------------------------------------------------------

    /** Characters that arrive at a serial port. */
    sendSerial(port: number, bytes: Uint8Array): void {
        this.queue.push(`serial${port}`, bytes);
    }

    /** A key goes down or up; `key` as in `KeyboardEvent.code`. */
    sendKey(key: string, pressed: boolean): void {
        this.queue.push('keyboard', { key, pressed });
    }

    /** Mouse movement in counts; right and down are positive, the wheel towards the user. */
    moveMouse(right: number, down: number, wheel = 0): void {
        this.queue.push('mouse', { right, down, wheel });
    }

    setMouseButtons(buttons: number): void {
        this.queue.push('mouse-buttons', buttons);
    }

    /** Asks the guest to shut down. */
    pressPowerButton(): void {
        this.queue.push('power-button', null);
    }

    private connectInputs(): void {
        const { board, queue } = this;
        board.uarts.forEach((uart, index) =>
            queue.connect(
                `serial${index}`,
                data => {
                    // As a modem that rings does. It is what users can always do.
                    board.acpiPm.wake();
                    uart.receive(data as Uint8Array);
                },
                data => data instanceof Uint8Array,
            ),
        );
        queue.connect(
            'keyboard',
            data => {
                const { key, pressed } = data as unknown as KeyInput;
                board.acpiPm.wake();
                board.keyboard.key(key, pressed);
            },
            data => typeof field(data, 'key') === 'string' && typeof field(data, 'pressed') === 'boolean',
        );
        queue.connect(
            'mouse',
            data => {
                const { right, down, wheel } = data as unknown as MouseInput;
                board.mouse.move(right, down, wheel);
            },
            data => ['right', 'down', 'wheel'].every(axis => Number.isFinite(field(data, axis))),
        );
        queue.connect(
            'mouse-buttons',
            data => board.mouse.setButtons(data as number),
            data => typeof data === 'number',
        );
        queue.onDivergence = problem => this.loop.finish({ reason: 'replayDiverged', problem });
        queue.connect('power-button', () => board.acpiPm.pressPowerButton());
    }

    // ---- construction --------------------------------------------------------------------------------------------

    private buildObservation(): Observation {
        const { engine, clock, memory, bus } = this;
        const observation = new Observation({
            executing: () => this.loop?.executing ?? -1,
            cpu: vcpu => this.processors[vcpu].cpu,
            retired: () => engine.retired(),
            time: retired => clock.at(retired),
            locate: (vcpu, target) => engine.locate?.(vcpu, target) ?? false,
            requestStop: vcpu => this.loop.requestEventStop(vcpu),
            deviceSize: address => memory.regionAt(address)?.size ?? 0,
            interruptSource: (vcpu, vector) => interruptSource(this.board, this.processors[vcpu].apic, vector),
            hostTime: this.options.exitClock,
        });
        bus.observer = observation.ports;
        memory.observer = observation.mmio;
        return observation;
    }

    /** The largest firmware images lie where the test device has its memory. */
    private get hasRoomForTestDevice(): boolean {
        const size = this.options.firmware?.data.length ?? 0;
        return size <= 0x1_0000_0000 - (BoardMap.testDevice.mmio + TEST_DEVICE_MEMORY);
    }

    private buildBoard(cpus: number): Board {
        const { options } = this;
        return new Board({
            memory: this.memory,
            bus: this.bus,
            clock: this.clock,
            cpus,
            serial: options.serial ?? [],
            debugConsole: options.debugConsole ?? (() => undefined),
            postCode: options.postCode ?? (() => undefined),
            entropy: this.entropySource('virtio-rng', 2),
            epochSeconds: options.epochSeconds ?? DEFAULT_EPOCH_SECONDS,
            intr: { set: asserted => this.processors?.[0].apic.lint0.set(asserted) },
            firmware: options.firmware !== undefined,
            powerManagementMoved: base => this.describePowerManagement(base),
            testDevice: this.hasRoomForTestDevice && options.kernel !== undefined && isMultiboot(options.kernel),
            powerOff: () => {
                this.observation.powerOff();
                this.loop.finish({ reason: 'poweredOff' });
            },
            debugExit: status => this.loop.finish({ reason: 'debugExit', status: status & 0xff }),
            suspend: () => this.loop.request('suspend'),
            wake: () => this.loop.request('wake'),
            reset: () => this.resetByGuest(),
        });
    }

    /** Each firmware places the power management registers elsewhere, and reads only afterwards where tables say they are. */
    private describePowerManagement(base: number): void {
        // The board speaks up while the machine is still being built.
        if (this.acpi !== undefined) {
            replaceTables(this.board, buildAcpiTables({ ...this.acpi, powerManagement: base }));
        }
    }

    private buildProcessor(index: number, count: number): Processor {
        const bytes = new Uint8Array(4);
        const view = new DataView(bytes.buffer);
        return new Processor({
            index,
            count,
            memory: this.memory,
            clock: this.clock,
            ports: {
                read: (port, size) => {
                    this.loop.passTime(PORT_ACCESS_NS);
                    return this.bus.read(port, size);
                },
                write: (port, size, value) => {
                    this.loop.passTime(PORT_ACCESS_NS);
                    this.bus.write(port, size, value);
                },
            },
            apicBus: this.board.apicBus,
            observer: this.observation,
            pic: index === 0 ? this.board.pic : undefined,
            engine: this.engine.mmuHooks(index),
            random: () => {
                this.entropy.fill(bytes);
                return view.getUint32(0, true);
            },
            identifying: this.options.slowCpuid === false ? undefined : () => this.loop.passTime(CPUID_NS),
            waiting: () => this.loop.endTurnForWaiting(),
            apicMoved: () => this.apicPages?.update(),
            executing: () => this.loop.mayExecute(index),
            requestExit: () => this.engine.requestExit(),
            synchronize: () => this.engine.synchronize?.(index),
            hypervisor: this.options.hypervisor,
            features: this.options.features,
        });
    }

    private buildRunLoop(): RunLoop {
        const { hostTime, quantum } = this.options;
        const start = hostTime?.() ?? 0;
        return new RunLoop({
            engine: this.engine,
            clock: this.clock,
            queue: this.queue,
            processors: this.processors,
            quantum: quantum ?? DEFAULT_QUANTUM,
            hostTime: hostTime && (() => hostTime() - start),
            actions: { reset: () => this.restart(), suspend: () => this.suspend(), wake: () => this.wake() },
        });
    }

    private entropySource(channel: string, stream: number): EntropySource {
        const { hostEntropy, seed } = this.options;
        if (hostEntropy === undefined) {
            return new DeterministicEntropy(((seed ?? 0) * 0x10001 + stream) >>> 0);
        }
        return {
            fill: target => {
                const bytes = this.queue.pull<StateValue>(channel, () => {
                    const fresh = new Uint8Array(target.length);
                    hostEntropy(fresh);
                    return fresh;
                });
                target.set((bytes as Uint8Array).subarray(0, target.length));
            },
            save: () => new Uint8Array(0),
            restore: state => state.length === 0,
        };
    }

    private resetByGuest(): void {
        this.observation.reset();
        if (this.options.stopOnReset === true) {
            this.loop.finish({ reason: 'reset' });
        } else {
            this.loop.request('reset');
        }
    }

    /** Resets the machine, after which the guest may want to go on by itself. */
    private restart(): void {
        for (const processor of this.processors) {
            this.resetProcessor(processor);
        }
        this.powerOn();
    }

    /** Enters S3: nothing runs until the power management wakes the machine. */
    private suspend(): void {
        for (const processor of this.processors) {
            this.resetProcessor(processor);
            processor.cpu.activity = ActivityState.WaitForSipi;
        }
        this.board.suspend();
    }

    /** Leaves S3. */
    private wake(): void {
        this.resetProcessor(this.processors[0]);
        if (this.options.firmware !== undefined) {
            announceResume(this.board.rtc);
        } else if (resumeDirectBoot(this.directBootTarget())) {
            this.engine.stateChanged(0);
        } else {
            this.restart();
        }
    }

    private resetProcessor(processor: Processor): void {
        processor.reset();
        this.engine.stateChanged(processor.index);
    }

    private directBootTarget(): DirectBootTarget {
        const { memory, bus, board, processors, tables } = this;
        return {
            ...{ memory, bus, board, processors, tables },
            pciMemoryBase: Math.max(BoardMap.pciMemoryMinimum, memory.layout.lowRam),
        };
    }

    /** Brings the freshly reset machine to its first instruction. */
    private powerOn(): void {
        const { options, board, memory, processors } = this;
        this.loop.restart();
        const goesOn = goesOnAfterReset(board.rtc);
        board.reset(goesOn);
        const { kernel, entry } = options;
        const firmware = options.firmware !== undefined;
        if (kernel === undefined || (!firmware && goesOn)) {
            return;
        }
        const context = firmware
            ? {
                  // The firmware will fetch the kernel: nothing may be written behind its back.
                  write: () => undefined,
                  memoryMap: memoryMap(memory.layout, 0),
                  ramEnd: memory.layout.lowRam,
                  rsdp: 0,
              }
            : prepareDirectBoot(this.directBootTarget());
        const loaded = loadKernel(kernel, context, { entry, firmware });
        if (loaded.via === 'firmware') {
            offerKernel(board, loaded.optionRom);
            return;
        }
        const { cpu } = processors[0];
        applyInitialState(memory.view, cpu.base, loaded.state);
        cpu.stateReplaced();
        this.engine.stateChanged(0);
    }
}

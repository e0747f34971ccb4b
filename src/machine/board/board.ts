import { AcpiPm } from '../../devices/acpi-pm';
import { ApicBus } from '../../devices/apic-bus';
import { DebugConsole } from '../../devices/debug-console';
import { DebugExit } from '../../devices/debug-exit';
import type { Clock, Device, InterruptLine, IoRegion } from '../../devices/device';
import { Dma8237 } from '../../devices/dma8237';
import { FwCfg } from '../../devices/fw-cfg';
import { Hpet } from '../../devices/hpet';
import { I8042 } from '../../devices/i8042';
import { IOAPIC_PINS, IoApic } from '../../devices/ioapic';
import { PciConfigurationPorts } from '../../devices/pci/configuration-ports';
import { HostBridge } from '../../devices/pci/host-bridge';
import { PciBus } from '../../devices/pci/pci-bus';
import { Piix3IsaBridge } from '../../devices/pci/piix3-isa-bridge';
import { Piix4PowerManagement } from '../../devices/pci/piix4-power-management';
import { PicPair } from '../../devices/pic-pair';
import { Pit8254 } from '../../devices/pit8254';
import { Port92 } from '../../devices/port92';
import { PostCode } from '../../devices/post-code';
import { Ps2Keyboard } from '../../devices/ps2/ps2-keyboard';
import { Ps2Mouse } from '../../devices/ps2/ps2-mouse';
import { Rtc146818 } from '../../devices/rtc146818';
import { TEST_DEVICE_MEMORY, TestDevice } from '../../devices/test-device';
import { Uart16550 } from '../../devices/uart16550';
import type { EntropySource } from '../../devices/virtio/entropy';
import { VirtioPci } from '../../devices/virtio/virtio-pci';
import { VirtioRng } from '../../devices/virtio/virtio-rng';
import { SUSPEND_TYPE } from '../acpi/dsdt';
import type { PortBus } from '../bus';
import type { GuestMemory } from '../memory';
import { BarMapper } from './bar-mapper';
import { BoardMap } from './board-map';
import { InterruptWiring, ISA_IRQS } from './interrupt-wiring';

/** What the board tells the machine, and what it is given from outside. */
export interface BoardOptions {
    readonly memory: GuestMemory;
    readonly bus: PortBus;
    readonly clock: Clock;
    readonly cpus: number;
    /** Where the guest's characters go, by UART; as many as the machine has serial ports (0–2). */
    readonly serial: readonly ((byte: number) => void)[];
    readonly debugConsole: (byte: number) => void;
    readonly postCode: (code: number) => void;
    readonly entropy: EntropySource;
    /** Seconds since 1970 at power-on. */
    readonly epochSeconds: number;
    /** INTR of the PIC, that is LINT0 of the bootstrap processor. */
    readonly intr: InterruptLine;
    /** Whether a firmware will place the power management registers; otherwise they are where our tables say. */
    readonly firmware: boolean;
    /** The power management registers answer at another I/O port. */
    readonly powerManagementMoved: (base: number) => void;
    /** Whether test suites find their device. */
    readonly testDevice: boolean;
    readonly powerOff: () => void;
    /** The guest enters S3, and leaves it. */
    readonly suspend: () => void;
    readonly wake: () => void;
    readonly debugExit: (status: number) => void;
    readonly reset: () => void;
}

/**
 * The devices of the PC and all wires between them: a 440FX board with the PIIX's ISA and power management functions,
 * as firmware and operating systems know it from QEMU's `pc`.
 */
export class Board {
    readonly apicBus = new ApicBus();
    readonly pic: PicPair;
    readonly ioApic: IoApic;
    readonly pciBus: PciBus;
    readonly rtc: Rtc146818;
    readonly fwCfg: FwCfg;
    readonly hpet: Hpet;
    readonly acpiPm: AcpiPm;
    readonly keyboard: Ps2Keyboard;
    readonly mouse: Ps2Mouse;
    readonly uarts: readonly Uart16550[];
    readonly mapper: BarMapper;
    readonly hostBridge: HostBridge;
    readonly isaBridge: Piix3IsaBridge;
    /** In the order in which they are to be restored: interrupt sources before interrupt controllers. */
    readonly devices: readonly Device[];

    private readonly options: BoardOptions;

    constructor(options: BoardOptions) {
        const { memory, bus, clock } = options;
        this.options = options;
        this.mapper = new BarMapper(memory, bus);
        this.pic = new PicPair({ intr: options.intr });
        this.ioApic = new IoApic({ bus: this.apicBus, id: options.cpus });
        const irqs = new InterruptWiring(this.pic, this.ioApic);

        const pit = new Pit8254({ clock, irq0: irqs.timerInput });
        this.rtc = new Rtc146818({
            clock,
            irq: irqs.rtcInput,
            epochSeconds: options.epochSeconds,
            alarm: () => this.acpiPm.rtcAlarm(),
        });
        this.hpet = new Hpet({
            clock,
            line: pin => irqs.ioApicPin(pin),
            legacyLines: [irqs.isaInput(0), irqs.isaInput(8)],
            legacyReplacement: enabled => irqs.setLegacyReplacement(enabled),
        });
        this.acpiPm = new AcpiPm({
            clock,
            sci: irqs.isaInput(BoardMap.sci),
            powerOff: options.powerOff,
            suspend: options.suspend,
            wake: options.wake,
            suspendType: SUSPEND_TYPE,
        });
        this.uarts = options.serial.map(
            (transmit, index) =>
                new Uart16550(`serial${index}`, { clock, transmit, irq: irqs.isaInput(BoardMap.serial[index].irq) }),
        );

        const setA20 = (open: boolean): void => memory.setA20(open);
        this.keyboard = new Ps2Keyboard('keyboard', { clock });
        this.mouse = new Ps2Mouse('mouse', { clock });
        const i8042 = new I8042('i8042', {
            clock,
            keyboard: this.keyboard,
            mouse: this.mouse,
            keyboardIrq: irqs.isaInput(1),
            mouseIrq: irqs.isaInput(12),
            setA20,
            reset: options.reset,
        });
        const port92 = new Port92('port92', { setA20, reset: options.reset });
        this.fwCfg = new FwCfg('fw-cfg', memory.dma);
        const dma = new Dma8237('dma8237');
        const debugConsole = new DebugConsole('debug-console', options.debugConsole);
        const debugExit = new DebugExit('debug-exit', options.debugExit);
        const postCode = new PostCode('post-code', options.postCode);

        this.isaBridge = new Piix3IsaBridge(
            'isa-bridge',
            Array.from({ length: 16 }, (_, irq) => irqs.isaInput(irq)),
        );
        this.hostBridge = new HostBridge('host-bridge', {
            shadow: (address, size, readRam, writeRam) => memory.setShadow(address, size, { readRam, writeRam }),
            smram: visible => memory.setShadow(0xa0000, 0x20000, { readRam: visible, writeRam: visible }),
        });
        const powerManagement = this.powerManagementFunction();
        const rng = new VirtioPci('virtio-rng', new VirtioRng(options.entropy), { dma: memory.dma });
        this.pciBus = new PciBus({
            mapper: this.mapper,
            messages: { send: (address, data) => this.sendMessage(address, data) },
            pirqs: this.isaBridge.pirqs,
        });
        this.pciBus.attach(0, 0, this.hostBridge);
        this.pciBus.attach(BoardMap.isaBridgeSlot, 0, this.isaBridge);
        this.pciBus.attach(BoardMap.isaBridgeSlot, 3, powerManagement);
        this.pciBus.attach(BoardMap.firstFreeSlot, 0, rng);
        const configuration = new PciConfigurationPorts('pci-configuration', {
            bus: this.pciBus,
            reset: options.reset,
        });

        const at = (name: string, port: number, size: number, region: IoRegion): void => {
            bus.map(name, port, size, region);
        };
        at('dma8237', 0x00, 0x10, dma.first);
        at('pic master', 0x20, 2, this.pic.master);
        at('pit', 0x40, 4, pit.registers);
        at('i8042 data', 0x60, 1, i8042.data);
        at('system control B', 0x61, 1, pit.systemControl);
        at('i8042 command', 0x64, 1, i8042.command);
        at('rtc', BoardMap.rtc, 4, this.rtc.registers);
        at('post code', 0x80, 1, postCode.registers);
        at('dma8237 pages', 0x81, 0x0f, dma.pages);
        at('system control A', 0x92, 1, port92.registers);
        at('pic slave', 0xa0, 2, this.pic.slave);
        at('apm control', BoardMap.apmControl, 2, this.acpiPm.smiCommand);
        at('dma8237 16-bit', 0xc0, 0x20, dma.second);
        at('debug console', 0xe9, 1, debugConsole.registers);
        at('debug exit', 0xf4, 4, debugExit.registers);
        at('elcr', 0x4d0, 2, this.pic.elcr);
        at('fw_cfg', BoardMap.fwCfg, 2, this.fwCfg.registers);
        at('fw_cfg dma', BoardMap.fwCfg + 4, 8, this.fwCfg.dmaRegister);
        at('pci configuration', 0xcf8, 8, configuration.registers);
        this.uarts.forEach((uart, index) => at(uart.name, BoardMap.serial[index].port, 8, uart.registers));
        memory.map('ioapic', BoardMap.ioApic, 0x1000, this.ioApic.mmio);
        memory.map('hpet', BoardMap.hpet, BoardMap.hpetSize, this.hpet.mmio);

        const testDevices = options.testDevice ? [this.testDevice(irqs)] : [];
        this.devices = [
            // The keyboard controller reads from its devices when it is restored.
            ...[this.keyboard, this.mouse, i8042, port92],
            ...[pit, this.rtc, this.hpet, this.acpiPm, ...this.uarts],
            ...[this.fwCfg, dma, debugConsole, debugExit, postCode, configuration],
            ...[this.isaBridge, this.hostBridge, powerManagement, rng, ...testDevices],
            ...[this.pic, this.ioApic],
        ];
    }

    /**
     * @param shadowed leave RAM where it covers the BIOS below 1 MiB, as QEMU's `pc` does: a firmware that left its data
     *     there knows by them that this is no power-on
     */
    reset(shadowed = false): void {
        this.resetAllBut(shadowed ? [this.hostBridge] : []);
    }

    /** Enters S3: what loses its power is reset. */
    suspend(): void {
        this.resetAllBut([this.rtc, this.acpiPm, this.hostBridge]);
    }

    private resetAllBut(kept: readonly Device[]): void {
        this.options.memory.setA20(true);
        for (const device of this.devices) {
            if (!kept.includes(device)) {
                device.reset();
            }
        }
    }

    /** Mapped where QEMU has it. Nothing tells the guest of it, and nothing else is in the way. */
    private testDevice(irqs: InterruptWiring): TestDevice {
        const { bus, memory } = this.options;
        const { latch, flush, interrupts, mmio } = BoardMap.testDevice;
        const lines = Array.from({ length: IOAPIC_PINS }, (_, line) =>
            line < ISA_IRQS ? irqs.isaInput(line) : irqs.ioApicPin(line),
        );
        const device = new TestDevice('test-device', lines);
        bus.map('test latch', latch, 4, device.latch);
        bus.map('test flush', flush, 4, device.flush);
        bus.map('test interrupts', interrupts, lines.length, device.interrupts);
        memory.map('test memory', mmio, TEST_DEVICE_MEMORY, device.mmio);
        return device;
    }

    private powerManagementFunction(): Piix4PowerManagement {
        let unmap: (() => void) | undefined;
        return new Piix4PowerManagement('power-management', {
            initialBase: this.options.firmware ? undefined : BoardMap.powerManagement,
            powerManagementBase: base => {
                unmap?.();
                unmap = undefined;
                if (base !== undefined) {
                    const { name, registers } = this.acpiPm;
                    unmap = this.mapper.map('io', name, base, BoardMap.powerManagementSize, registers);
                    this.options.powerManagementMoved(base);
                }
            },
        });
    }

    /** A message signalled interrupt, or what the guest made of it: a plain write to memory. */
    private sendMessage(address: number, data: number): void {
        if (Math.floor(address / 0x10_0000) === BoardMap.localApic / 0x10_0000) {
            this.apicBus.sendMsi(address, data);
            return;
        }
        const bytes = new Uint8Array(4);
        new DataView(bytes.buffer).setUint32(0, data, true);
        this.options.memory.dma.write(address, bytes);
    }
}

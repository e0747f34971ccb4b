/**
 * ACPI fixed hardware: power management events and control, PM timer, a general-purpose event block, and the SMI command
 * port that hands the hardware over to the operating system.
 *
 * ACPI specification 6.5, section 4.8 "ACPI Register Model" (PM1 status, enable and control: 4.8.3; PM timer: 4.8.3.3;
 * general-purpose events: 4.8.4) and 16.1 "Sleeping States". Registers lie as in Intel 82371AB (PIIX4), section 7.2, to
 * which firmware is used: PMSTS 00H, PMEN 02H, PMCNTRL 04H, PMTMR 08H, GPSTS 0CH, GPEN 0EH.
 *
 * new AcpiPm({ clock, sci, powerOff, suspend?, wake?, sleep?, name?, timerBits?, softOffType?, suspendType?, enableCommand?,
 *     disableCommand? })
 *   sci: the system control interrupt, a level (IRQ 9)
 *   regions: registers (64 bytes, where firmware places them), smiCommand (2 bytes, port 0xb2: APM control and status)
 *   pressPowerButton(), pressSleepButton(), rtcAlarm(), wake(), raiseGpe(n), lowerGpe(n)
 */

import { ByteRegion } from './byte-region';
import {
    type Alarm,
    type Clock,
    type Device,
    type DeviceRegister,
    type InterruptLine,
    type IoRegion,
    type StateRecord,
} from './device';
import { Frequency } from './frequency';
import { StateReader } from './state-reader';

const KIND = 'acpi-pm';
const VERSION = 2;
/** From before there was S3. */
const VERSION_WITHOUT_SUSPEND = 1;

export const PM_TIMER_HZ = 3_579_545;

const enum Offset {
    Status = 0x00,
    Enable = 0x02,
    Control = 0x04,
    Timer = 0x08,
    GpeStatus = 0x0c,
    GpeEnable = 0x0e,
    End = 0x10,
}

/** PM1 status; enables have the same places. */
const enum Event {
    Timer = 1 << 0,
    Global = 1 << 5,
    PowerButton = 1 << 8,
    SleepButton = 1 << 9,
    Rtc = 1 << 10,
    Wake = 1 << 15,
}

/** What ends S3 besides general-purpose events; the PM timer and the global lock only interrupt. */
const WAKE_EVENTS = Event.PowerButton | Event.SleepButton | Event.Rtc;
const ENABLES = Event.Timer | Event.Global | WAKE_EVENTS;

const EVENT_NAMES: readonly [Event, string][] = [
    [Event.Timer, 'timer'],
    [Event.Global, 'global lock'],
    [Event.PowerButton, 'power button'],
    [Event.SleepButton, 'sleep button'],
    [Event.Rtc, 'RTC'],
    [Event.Wake, 'wake'],
];

const enum Control {
    SciEnable = 1 << 0,
    SleepType = 7 << 10,
    SleepEnable = 1 << 13,
    /** SCI_EN, BM_RLD and SLP_TYP; GBL_RLS and SLP_EN read as zero. */
    Kept = 0x1c03,
}

export interface AcpiPmOptions {
    readonly name?: string;
    readonly clock: Clock;
    readonly sci: InterruptLine;
    /** The guest entered S5. */
    readonly powerOff: () => void;
    /** The guest entered S3: only RAM, the real-time clock and this device keep their power, until {@link wake}. */
    readonly suspend?: () => void;
    /** The machine leaves S3. */
    readonly wake?: () => void;
    /** The guest entered another sleeping state, by its SLP_TYP. Without this it wakes up at once. */
    readonly sleep?: (type: number) => void;
    /** Width of the PM timer: 24 unless the FADT says TMR_VAL_EXT. */
    readonly timerBits?: 24 | 32;
    /** SLP_TYP of the DSDT's \_S5. */
    readonly softOffType?: number;
    /** SLP_TYP of the DSDT's \_S3. */
    readonly suspendType?: number;
    /** ACPI_ENABLE and ACPI_DISABLE of the FADT, written to the SMI command port. */
    readonly enableCommand?: number;
    readonly disableCommand?: number;
}

function eventNames(bits: number): string {
    return EVENT_NAMES.filter(([bit]) => (bits & bit) !== 0)
        .map(([, name]) => name)
        .join(', ');
}

export class AcpiPm implements Device {
    readonly name: string;
    readonly registers: IoRegion;
    readonly smiCommand: IoRegion;

    private readonly options: AcpiPmOptions;
    private readonly frequency = new Frequency(PM_TIMER_HZ);
    private readonly alarm: Alarm;
    private readonly timerModulus: number;

    private status = 0;
    private enable = 0;
    private control = 0;
    private gpeStatus = 0;
    private gpeEnable = 0;
    /** Levels of the general-purpose inputs. */
    private gpeInputs = 0;
    /** Times that the timer's most significant bit has changed since power-on. */
    private timerHalves = 0;
    private apmControl = 0;
    private apmStatus = 0;
    private suspended = false;

    constructor(options: AcpiPmOptions) {
        this.name = options.name ?? 'acpi-pm';
        this.options = options;
        this.timerModulus = 2 ** (options.timerBits ?? 24);
        this.alarm = options.clock.alarm(`${this.name}.timer`, () => this.synchronize());
        const bytes = new ByteRegion(
            offset => this.readByte(offset),
            (offset, value) => this.writeByte(offset, value),
        );
        this.registers = {
            // The PM timer is a clock source: read often, and at once.
            read: (offset, size) => (offset === Offset.Timer && size === 4 ? this.timer() : bytes.read(offset, size)),
            write: (offset, size, value) => bytes.write(offset, size, value),
        };
        this.smiCommand = new ByteRegion(
            offset => (offset === 0 ? this.apmControl : offset === 1 ? this.apmStatus : 0xff),
            (offset, value) => this.writeSmiCommand(offset, value),
        );
        this.timerHalves = this.halves();
    }

    pressPowerButton(): void {
        this.raise(Event.PowerButton);
    }

    pressSleepButton(): void {
        this.raise(Event.SleepButton);
    }

    /** The real-time clock's alarm went off. */
    rtcAlarm(): void {
        this.raise(Event.Rtc);
    }

    /** Whether the machine is in S3. */
    get asleep(): boolean {
        return this.suspended;
    }

    /** Leaves S3, for a reason that has no event of its own, such as a key. */
    wake(): void {
        if (this.suspended) {
            this.suspended = false;
            this.status |= Event.Wake;
            this.options.wake?.();
            this.update();
        }
    }

    /** General-purpose event 0–15. Its status stays set until the guest clears it while the input is low. */
    raiseGpe(index: number): void {
        this.gpeInputs |= 1 << index;
        this.gpeStatus |= 1 << index;
        this.update();
        if ((this.gpeEnable & (1 << index)) !== 0) {
            this.wake();
        }
    }

    lowerGpe(index: number): void {
        this.gpeInputs &= ~(1 << index);
    }

    reset(): void {
        this.status = 0;
        this.enable = 0;
        this.control = 0;
        this.gpeStatus = this.gpeInputs;
        this.gpeEnable = 0;
        this.apmControl = 0;
        this.apmStatus = 0;
        this.suspended = false;
        this.timerHalves = this.halves();
        this.update();
    }

    save(): StateRecord {
        return {
            kind: KIND,
            version: VERSION,
            fields: {
                pm1Status: this.status,
                pm1Enable: this.enable,
                pm1Control: this.control,
                gpe0Status: this.gpeStatus,
                gpe0Enable: this.gpeEnable,
                gpe0Inputs: this.gpeInputs,
                timerHalves: this.timerHalves,
                apmControl: this.apmControl,
                apmStatus: this.apmStatus,
                suspended: this.suspended,
            },
        };
    }

    restore(record: StateRecord): void {
        const isOld = record.version === VERSION_WITHOUT_SUSPEND;
        const state = new StateReader(record, KIND, isOld ? VERSION_WITHOUT_SUSPEND : VERSION);
        this.status = state.u16('pm1Status');
        this.enable = state.u16('pm1Enable');
        this.control = state.u16('pm1Control');
        this.gpeStatus = state.u16('gpe0Status');
        this.gpeEnable = state.u16('gpe0Enable');
        this.gpeInputs = state.u16('gpe0Inputs');
        this.timerHalves = state.count('timerHalves');
        this.apmControl = state.u8('apmControl');
        this.apmStatus = state.u8('apmStatus');
        this.suspended = !isOld && state.boolean('suspended');
        this.update();
    }

    inspect(): DeviceRegister[] {
        const mode = (this.control & Control.SciEnable) !== 0 ? 'ACPI mode' : 'legacy mode';
        const sleepType = (this.control & Control.SleepType) >>> 10;
        return [
            { name: 'PM1_STS', value: this.status, width: 16, description: eventNames(this.status) },
            { name: 'PM1_EN', value: this.enable, width: 16, description: eventNames(this.enable) },
            { name: 'PM1_CNT', value: this.control, width: 16, description: `${mode}, SLP_TYP ${sleepType}` },
            { name: 'PM_TMR', value: this.timer(), width: this.options.timerBits ?? 24 },
            { name: 'GPE0_STS', value: this.gpeStatus, width: 16 },
            { name: 'GPE0_EN', value: this.gpeEnable, width: 16 },
            { name: 'SMI_CMD', value: this.apmControl, width: 8 },
        ];
    }

    private readByte(offset: number): number {
        this.synchronize();
        const shift = (offset & 1) * 8;
        switch ((offset & ~1) as Offset) {
            case Offset.Status:
                return (this.status >>> shift) & 0xff;
            case Offset.Enable:
                return (this.enable >>> shift) & 0xff;
            case Offset.Control:
                return (this.control >>> shift) & 0xff;
            case Offset.GpeStatus:
                return (this.gpeStatus >>> shift) & 0xff;
            case Offset.GpeEnable:
                return (this.gpeEnable >>> shift) & 0xff;
            default:
                if (offset >= Offset.Timer && offset < Offset.GpeStatus) {
                    return (this.timer() >>> ((offset & 3) * 8)) & 0xff;
                }
                return 0;
        }
    }

    private writeByte(offset: number, value: number): void {
        if (offset >= Offset.End) {
            return;
        }
        this.synchronize();
        const shift = (offset & 1) * 8;
        const bits = value << shift;
        const others = 0xff00 >>> shift;
        switch ((offset & ~1) as Offset) {
            case Offset.Status:
                this.status &= ~bits;
                break;
            case Offset.Enable:
                this.enable = ((this.enable & others) | bits) & ENABLES;
                break;
            case Offset.Control:
                this.control = ((this.control & others) | bits) & Control.Kept;
                if ((bits & Control.SleepEnable) !== 0) {
                    this.enterSleep();
                }
                break;
            case Offset.GpeStatus:
                this.gpeStatus = (this.gpeStatus & ~bits) | this.gpeInputs;
                break;
            case Offset.GpeEnable:
                this.gpeEnable = (this.gpeEnable & others) | bits;
                break;
            default:
                return;
        }
        this.update();
    }

    /** What PC firmware does in its SMI handler: there is no system management mode here, so the port does it. */
    private writeSmiCommand(offset: number, value: number): void {
        if (offset === 1) {
            this.apmStatus = value;
        }
        if (offset !== 0) {
            return;
        }
        this.apmControl = value;
        if (value === (this.options.enableCommand ?? 0xf1)) {
            this.control |= Control.SciEnable;
        } else if (value === (this.options.disableCommand ?? 0xf0)) {
            this.control &= ~Control.SciEnable;
        }
        this.synchronize();
    }

    private enterSleep(): void {
        const type = (this.control & Control.SleepType) >>> 10;
        if (type === (this.options.softOffType ?? 0)) {
            this.options.powerOff();
        } else if (type === (this.options.suspendType ?? 1) && this.options.suspend !== undefined) {
            this.suspended = true;
            this.options.suspend();
            if ((this.status & this.enable & WAKE_EVENTS) !== 0 || (this.gpeStatus & this.gpeEnable) !== 0) {
                this.wake();
            }
        } else {
            this.options.sleep?.(type);
            this.status |= Event.Wake;
        }
    }

    private raise(event: Event): void {
        this.status |= event;
        this.update();
        // The power button always wakes (section 4.8.3.2.2), the others if enabled.
        if (event === Event.PowerButton || (this.enable & event) !== 0) {
            this.wake();
        }
    }

    private timer(): number {
        return this.frequency.ticksAt(this.options.clock.now()) % this.timerModulus;
    }

    private halves(): number {
        return Math.floor(this.frequency.ticksAt(this.options.clock.now()) / (this.timerModulus / 2));
    }

    /** Takes up a change of the timer's most significant bit. */
    private synchronize(): void {
        const halves = this.halves();
        if (halves !== this.timerHalves) {
            this.timerHalves = halves;
            this.status |= Event.Timer;
        }
        this.update();
    }

    private update(): void {
        const acpiMode = (this.control & Control.SciEnable) !== 0;
        const events = (this.status & this.enable) | (this.gpeStatus & this.gpeEnable);
        this.options.sci.set(acpiMode && events !== 0 && !this.suspended);
        if (acpiMode && (this.enable & ~this.status & Event.Timer) !== 0) {
            this.alarm.arm(this.frequency.timeOf((this.timerHalves + 1) * (this.timerModulus / 2)));
        } else {
            this.alarm.disarm();
        }
    }
}

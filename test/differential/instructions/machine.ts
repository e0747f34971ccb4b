/**
 * The emulated counterpart of the oracle: one vCPU at CPL 3 in long mode with the same linear addresses, segments and
 * code page, and no operating system. A case ends at its INT3 or at its first exception.
 */

import { Cpu } from '../../../src/machine/cpu/cpu';
import { type GuestFault, guestFault, hasErrorCode } from '../../../src/machine/cpu/fault';
import { systemOperations } from '../../../src/machine/cpu/system';
import type { IoRegion } from '../../../src/devices/device';
import { GuestMemory } from '../../../src/machine/memory';
import { type CpuObserver, stopBeforeEvent } from '../../../src/machine/observation/cpu-observer';
import { ActivityState, gprOffset, SegmentAttribute, StateOffset, vectorOffset } from '../../../src/machine/state';
import { type Instruction, Segment } from '../../../src/isa/x86';
import { semantics } from '../../../src/translator';
import { TranslatorEngine } from '../../../src/translator/engine/engine';
import type { HelperFunctions } from '../../../src/translator/engine/handlers';
import { vectorHelpers } from '../../../src/translator/lift/vector';
import { x87Helpers } from '../../../src/translator/lift/x87';
import { evaluateBlock } from './evaluator';
import type { GeneratedCase } from './generate';
import {
    CaseOffset,
    CODE_PAGE,
    CodeKind,
    DATA,
    DATA_SIZE,
    ENTRY_OFFSET,
    FxsaveOffset,
    GS_BASE,
    type InstructionCase,
    ResultOffset,
    TIMEOUT,
    WINDOWS,
} from './layout';

const PAGE = 0x1000;
/** Physical addresses. The data pages are not neighbours, as they would seldom be. */
const PHYSICAL = { pml4: 0x1000, pdpt: 0x2000, pd: 0x3000, codeTable: 0x4000, dataTable: 0x5000, code: 0x100000 };
const DATA_PAGES = [0x20000, 0x24000];
const USER_PAGE = 0x67; // present, writable, user, accessed, dirty
/** High half of an entry. */
const NO_EXECUTE = 0x80000000;
const INT3 = 0xcc;
const MOST_INSTRUCTIONS = 1 << 20;

const CR0 = 0x80050033; // PG, AM, WP, NE, ET, MP, PE
const CR4 = 0x40620; // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
const EFER = 0xd01; // NXE, LMA, LME, SCE

const DATA_ATTRIBUTES = 0xf3;
const CODE_ATTRIBUTES = 0xfb;
/** The selectors that the host has: Linux's, and the oracle's LDT. */
const Selector = { code64: 0x33, code32: 0x23, data: 0x2b, code16: 0x07, ldtData: 0x0f, stack16: 0x17, stack32: 0x1f };

/** How the emulated machine executes; with `device` its data are registers of a device instead of memory. */
export type Tier = 'interpreter' | 'region' | 'evaluator' | 'device' | 'device-region';

/** Physical addresses where the device tiers have their data. */
const DEVICE_PAGES = [0xff000000, 0xff004000];

/** Cases after which the engine is replaced: V8 keeps every instance that ever shared a function table. */
const CASES_PER_ENGINE = 500;

export class TestMachine {
    private readonly memory = new GuestMemory({ ramSize: 4 << 20, cpus: 1, arenaSize: 4 << 20, romSize: 0 });
    private readonly helpers: HelperFunctions;
    private readonly ram: number;
    private readonly dataWords: Uint32Array[];
    private cpu!: Cpu;
    private engine!: TranslatorEngine;
    private ended = 0;
    private errorCode = 0;
    private address = 0n;

    constructor(readonly tier: Tier) {
        const { memory } = this.memory;
        this.helpers = { ...vectorHelpers(memory), ...x87Helpers(memory) };
        this.ram = this.memory.layout.ram.base;
        this.dataWords = DATA_PAGES.map(page => new Uint32Array(memory.buffer, this.ram + page, PAGE / 4));
        const isDevice = tier === 'device' || tier === 'device-region';
        if (isDevice) {
            DEVICE_PAGES.forEach((base, i) => this.memory.map('data', base, PAGE, this.registers(DATA_PAGES[i])));
        }
        this.mapPages(isDevice ? DEVICE_PAGES : DATA_PAGES);
    }

    private get translates(): boolean {
        return this.tier === 'region' || this.tier === 'device-region';
    }

    /** A device that answers with the bytes of a page of RAM. */
    private registers(page: number): IoRegion {
        const { view } = this.memory;
        const at = this.ram + page;
        return {
            read: (offset, size) =>
                size === 4
                    ? view.getUint32(at + offset, true)
                    : size === 2
                      ? view.getUint16(at + offset, true)
                      : view.getUint8(at + offset),
            write: (offset, size, value) => {
                if (size === 4) view.setUint32(at + offset, value, true);
                else if (size === 2) view.setUint16(at + offset, value, true);
                else view.setUint8(at + offset, value);
            },
        };
    }

    /**
     * Executes cases one after the other; results are in the layout of {@link ResultOffset}. The evaluator has no results
     * for cases that end in a fault or need more than one block.
     */
    runAll(
        cases: readonly GeneratedCase[],
        visit: (result: DataView | Error | undefined, index: number, translated: boolean) => void,
    ): void {
        for (let start = 0; start < cases.length; start += CASES_PER_ENGINE) {
            const part = cases.slice(start, start + CASES_PER_ENGINE);
            let translated = this.prepare(part);
            part.forEach(({ test, instructions }, i) => {
                let result: DataView | Error | undefined;
                try {
                    this.load(test, i);
                    result = this.tier === 'evaluator' ? this.evaluate(test, instructions) : this.run();
                } catch (error) {
                    result = error as Error;
                }
                visit(result, start + i, translated[i]);
                if (result instanceof Error) {
                    translated = this.prepare(part);
                }
            });
        }
    }

    /**
     * Makes an engine and has everything compiled at once: one by one takes longer than running the cases. Each case has
     * a page of its own for its code. Returns whether each case starts in a translated region.
     */
    private prepare(cases: readonly GeneratedCase[]): boolean[] {
        this.newEngine();
        const { handlers } = this.engine;
        cases.forEach(({ test, instructions }, i) => {
            const at = this.ram + PHYSICAL.code + i * PAGE;
            this.memory.bytes.fill(INT3, at, at + PAGE);
            this.memory.bytes.set(test.code, at + ENTRY_OFFSET);
            this.selectCode(test, i);
            instructions.forEach(instruction => handlers.find(instruction, this.cpu.mode));
        });
        handlers.flush();
        const translated = cases.map(({ test }, i) => {
            this.selectCode(test, i);
            return this.translates && this.engine.requestTranslation(0);
        });
        this.engine.flushTranslations();
        return translated;
    }

    private newEngine(): void {
        const { memory } = this.memory;
        this.engine = new TranslatorEngine({
            memory,
            arena: this.memory.layout.arena,
            semantics,
            helpers: this.helpers,
            systemOperations: new Map([
                ...systemOperations,
                [
                    'INT3',
                    (cpu: Cpu): void => {
                        cpu.setRip(cpu.ripLo + 1, cpu.ripHi);
                        this.end(cpu, 3, 0);
                    },
                ],
            ]),
            now: () => performance.now(),
            translate: this.translates,
            // Blocks are translated before they run for the first time, or not at all.
            hotThreshold: 0x7fffffff,
        });
        const ignored = (): void => undefined;
        const observer: CpuObserver = {
            beginOperation: ignored,
            endOperation: ignored,
            controlWritten: ignored,
            msrRead: ignored,
            msrWritten: ignored,
            identified: ignored,
            halted: ignored,
            exception: cpu => {
                this.fault(cpu, guestFault);
                throw stopBeforeEvent;
            },
            softwareInterrupt: ignored,
            interrupt: ignored,
            modeMayHaveChanged: ignored,
            shutDown: ignored,
        };
        const nothing = (): number => 0;
        this.cpu = new Cpu(memory.buffer, this.memory.layout.cpus[0], this.memory, {
            ...this.engine.mmuHooks(0),
            observer,
            watch: nothing,
            accessed: nothing,
            apic: undefined as never,
            ports: undefined as never,
            tsc: nothing,
            moveTsc: () => undefined,
            random: nothing,
        });
        this.engine.addProcessor({
            cpu: this.cpu,
            interruptPending: false,
            acknowledgeInterrupt: nothing,
            nmiPending: false,
        });
        this.cpu.setLo(StateOffset.cr0, CR0);
        this.cpu.setLo(StateOffset.cr3, PHYSICAL.pml4);
        this.cpu.setLo(StateOffset.cr4, CR4);
        // No interrupt gate is open to user code.
        this.cpu.setLo(StateOffset.idtrLimit, 0);
        this.cpu.setLo(StateOffset.efer, EFER);
        this.cpu.stateReplaced();
    }

    private run(): DataView {
        this.ended = 0;
        const stop = this.engine.run(0, MOST_INSTRUCTIONS);
        if (this.ended === 0) {
            this.ended = TIMEOUT;
            if (stop.reason !== 'budget') {
                throw new Error(`the machine stopped: ${stop.reason}`);
            }
        }
        return this.result();
    }

    private evaluate(each: InstructionCase, instructions: readonly Instruction[]): DataView | undefined {
        const rip = evaluateBlock(
            { mode: this.cpu.mode, instructions },
            {
                state: new DataView(this.memory.memory.buffer, this.cpu.base, StateOffset.size),
                rip: BigInt(each.entry - ENTRY_OFFSET),
                shared: this.memory.bytes,
                access: (linear, bytes) => this.dataAddress(linear, bytes),
                hostAddress: linear => Math.max(0, this.dataAddress(linear, 1)),
                call: (helper, args) => this.helpers[helper.name](this.cpu.base, ...(args as number[])) ?? undefined,
            },
            ENTRY_OFFSET,
        );
        const offset = rip - (each.entry - ENTRY_OFFSET);
        const isCode = offset >= ENTRY_OFFSET && offset < ENTRY_OFFSET + each.codeLength;
        if (!(offset >= 0 && offset < PAGE) || isCode) {
            return undefined;
        }
        this.cpu.setRip(rip + 1, 0);
        this.end(this.cpu, 3, 0);
        return this.result();
    }

    /** Address in the shared memory of bytes of one data page, or -1. */
    private dataAddress(linear: bigint, bytes: number): number {
        if (linear < DATA || linear + BigInt(bytes) > DATA + DATA_SIZE) {
            return -1;
        }
        const offset = Number(linear) - DATA;
        const inPage = offset & (PAGE - 1);
        return inPage + bytes > PAGE ? -1 : this.ram + DATA_PAGES[offset >> 12] + inPage;
    }

    // --- before ------------------------------------------------------------------------------------------------------

    /** Selects the code page of case `number`, and the mode that the case runs in. */
    private selectCode(each: InstructionCase, number: number): void {
        const entry = this.ram + PHYSICAL.codeTable + 8 * indexAt(CODE_PAGE, 0);
        this.memory.view.setUint32(entry, (PHYSICAL.code + number * PAGE) | USER_PAGE, true);
        this.cpu.mmu.flushPage(CODE_PAGE, 0);
        this.loadSegments(each.kind);
        this.cpu.setRip(each.entry, 0);
        this.cpu.writeFlags(each.view.getUint32(CaseOffset.rflags, true));
        this.cpu.updateMode();
    }

    /** Puts the machine into the state of the case. */
    private load(each: InstructionCase, number: number): void {
        const { bytes } = this.memory;
        this.selectCode(each, number);
        this.dataWords.forEach(words => words.fill(0));
        this.forEachWindow((at, size, offset) => {
            bytes.set(each.bytes.subarray(CaseOffset.data + offset, CaseOffset.data + offset + size), at);
        });
        for (let i = 0; i < 16; i++) {
            this.cpu.set64(gprOffset(i), each.gpr(i));
        }
        this.loadFxsave(each);
        this.cpu.activity = ActivityState.Active;
        this.engine.stateChanged(0);
    }

    private loadSegments(kind: CodeKind): void {
        const { cpu } = this;
        const flat = (segment: number, selector: number, attributes: number): void =>
            cpu.setSegment(segment, selector, 0, 0, 0xffffffff, attributes | SegmentAttribute.Granularity);
        const ldt = (segment: number, selector: number, base: number, limit: number, attributes: number): void =>
            cpu.setSegment(segment, selector, base, 0, limit, attributes);
        const big = SegmentAttribute.Big;
        if (kind === CodeKind.Code64) {
            flat(Segment.Cs, Selector.code64, CODE_ATTRIBUTES | SegmentAttribute.Long);
        } else if (kind === CodeKind.Code16) {
            ldt(Segment.Cs, Selector.code16, CODE_PAGE, 0xffff, CODE_ATTRIBUTES);
        } else {
            flat(Segment.Cs, Selector.code32, CODE_ATTRIBUTES | big);
        }
        for (const segment of [Segment.Ds, Segment.Es, Segment.Ss]) {
            if (kind === CodeKind.Code64 || kind === CodeKind.Code32) {
                flat(segment, Selector.data, DATA_ATTRIBUTES | big);
            } else if (segment !== Segment.Ss) {
                ldt(segment, Selector.ldtData, DATA, DATA_SIZE - 1, DATA_ATTRIBUTES | big);
            } else if (kind === CodeKind.Code16) {
                ldt(segment, Selector.stack16, DATA, DATA_SIZE - 1, DATA_ATTRIBUTES);
            } else {
                ldt(segment, Selector.stack32, DATA, DATA_SIZE - 1, DATA_ATTRIBUTES | big);
            }
        }
        const nullAttributes = SegmentAttribute.Unusable | (3 << SegmentAttribute.DplShift);
        cpu.setSegment(Segment.Fs, 0, 0, 0, 0, nullAttributes);
        cpu.setSegment(Segment.Gs, 0, GS_BASE, 0, 0, nullAttributes);
    }

    private loadFxsave(each: InstructionCase): void {
        const { cpu } = this;
        const at = CaseOffset.fxsave;
        const status = each.view.getUint16(at + FxsaveOffset.fsw, true);
        const top = (status >> 11) & 7;
        cpu.setLo(StateOffset.fcw, each.view.getUint16(at + FxsaveOffset.fcw, true));
        cpu.setLo(StateOffset.fsw, status & ~0x3800);
        cpu.setLo(StateOffset.ftop, top);
        const valid = each.bytes[at + FxsaveOffset.ftw];
        for (let i = 0; i < 8; i++) {
            cpu.bytes[StateOffset.fempty + i] = (valid >> i) & 1 ? 0 : 1;
            const from = at + FxsaveOffset.st + 16 * i;
            cpu.bytes.set(each.bytes.subarray(from, from + 10), StateOffset.x87 + 16 * ((top + i) & 7));
        }
        for (const field of [StateOffset.fop, StateOffset.fcs, StateOffset.fds]) {
            cpu.setLo(field, 0);
        }
        cpu.set(StateOffset.fip, 0, 0);
        cpu.set(StateOffset.fdp, 0, 0);
        cpu.setLo(StateOffset.mxcsr, each.view.getUint32(at + FxsaveOffset.mxcsr, true));
        for (let i = 0; i < 16; i++) {
            const from = at + FxsaveOffset.xmm + 16 * i;
            cpu.bytes.set(each.bytes.subarray(from, from + 16), vectorOffset(i));
        }
    }

    // --- after -------------------------------------------------------------------------------------------------------

    private fault(cpu: Cpu, fault: GuestFault): void {
        this.address = (BigInt(fault.addressHi >>> 0) << 32n) | BigInt(fault.addressLo >>> 0);
        this.end(cpu, fault.vector, hasErrorCode(fault.vector) ? fault.errorCode : 0);
    }

    private end(cpu: Cpu, vector: number, errorCode: number): void {
        this.ended = vector + 1;
        this.errorCode = errorCode;
        cpu.activity = ActivityState.Halted;
    }

    /** The state as it is, in the layout of {@link ResultOffset}. */
    private result(): DataView {
        const { cpu } = this;
        const bytes = new Uint8Array(ResultOffset.size);
        const view = new DataView(bytes.buffer);
        view.setUint32(ResultOffset.fault, this.ended, true);
        view.setUint32(ResultOffset.errorCode, this.errorCode, true);
        view.setUint32(ResultOffset.rip, cpu.ripLo, true);
        view.setUint32(ResultOffset.rip + 4, cpu.ripHi, true);
        bytes.set(cpu.bytes.subarray(StateOffset.gpr, StateOffset.gpr + 128), ResultOffset.gpr);
        view.setUint32(ResultOffset.rflags, cpu.rflags, true);
        view.setBigUint64(ResultOffset.cr2, this.address, true);
        this.storeFxsave(bytes, view);
        let rest = this.dataWords.reduce((sum, words) => words.reduce((partial, word) => (partial + word) | 0, sum), 0);
        this.forEachWindow((at, size, offset) => {
            bytes.set(this.memory.bytes.subarray(at, at + size), ResultOffset.data + offset);
        });
        for (let i = ResultOffset.data; i < ResultOffset.rest; i += 4) {
            rest = (rest - view.getInt32(i, true)) | 0;
        }
        view.setInt32(ResultOffset.rest, rest, true);
        return view;
    }

    private storeFxsave(bytes: Uint8Array, view: DataView): void {
        const { cpu } = this;
        const at = ResultOffset.fxsave;
        const top = cpu.lo(StateOffset.ftop);
        view.setUint16(at + FxsaveOffset.fcw, cpu.lo(StateOffset.fcw), true);
        view.setUint16(at + FxsaveOffset.fsw, cpu.lo(StateOffset.fsw) | (top << 11), true);
        for (let i = 0; i < 8; i++) {
            bytes[at + FxsaveOffset.ftw] |= (cpu.bytes[StateOffset.fempty + i] ^ 1) << i;
            const from = StateOffset.x87 + 16 * ((top + i) & 7);
            bytes.set(cpu.bytes.subarray(from, from + 10), at + FxsaveOffset.st + 16 * i);
        }
        view.setUint32(at + FxsaveOffset.mxcsr, cpu.lo(StateOffset.mxcsr), true);
        for (let i = 0; i < 16; i++) {
            bytes.set(cpu.bytes.subarray(vectorOffset(i), vectorOffset(i) + 16), at + FxsaveOffset.xmm + 16 * i);
        }
    }

    // --- memory ------------------------------------------------------------------------------------------------------

    /** Calls `visit` with each piece of the windows: its address in the shared memory and its offset in the windows. */
    private forEachWindow(visit: (at: number, size: number, offset: number) => void): void {
        let done = 0;
        for (const { offset, size } of WINDOWS) {
            for (let start = offset; start < offset + size;) {
                const piece = Math.min(offset + size, (start & ~(PAGE - 1)) + PAGE) - start;
                visit(this.ram + DATA_PAGES[start >> 12] + (start & (PAGE - 1)), piece, done);
                start += piece;
                done += piece;
            }
        }
    }

    private mapPages(data: readonly number[]): void {
        const entry = (table: number, index: number, value: number, high = 0): void => {
            this.memory.view.setUint32(this.ram + table + 8 * index, value, true);
            this.memory.view.setUint32(this.ram + table + 8 * index + 4, high, true);
        };
        entry(PHYSICAL.pml4, 0, PHYSICAL.pdpt | USER_PAGE);
        entry(PHYSICAL.pdpt, 0, PHYSICAL.pd | USER_PAGE);
        entry(PHYSICAL.pd, indexAt(CODE_PAGE, 1), PHYSICAL.codeTable | USER_PAGE);
        entry(PHYSICAL.pd, indexAt(DATA, 1), PHYSICAL.dataTable | USER_PAGE);
        entry(PHYSICAL.codeTable, indexAt(CODE_PAGE, 0), PHYSICAL.code | USER_PAGE);
        data.forEach((page, i) => entry(PHYSICAL.dataTable, indexAt(DATA, 0) + i, page | USER_PAGE, NO_EXECUTE));
    }
}

/** Index of the paging-structure entry at a level, 0 being the page table. */
function indexAt(linear: number, level: number): number {
    return Math.floor(linear / 2 ** (12 + 9 * level)) & 511;
}

/** Runs single x87 instructions through the interpreter tier's generated code, with nothing of a PC around it. */

import { StateOffset, segmentOffset, SegmentOffset, ModeKey } from '../../../src/machine/state';
import { decode, type Instruction, type Segment } from '../../../src/isa/x86';
import { FixedHandler } from '../../../src/translator/codegen/handler-emitter';
import { RecordOffset } from '../../../src/translator/codegen/record';
import { CodeTable, Handlers } from '../../../src/translator/engine/handlers';
import { writeRecord } from '../../../src/translator/engine/record-writer';
import { x87Helpers, x87Semantics } from '../../../src/translator/lift/x87';

const PAGE = 0x10000;
/** Address of the vCPU's state in the shared memory. */
const CPU = PAGE;
const RECORD = 4 * PAGE;
/** Where guest linear address 0 is. */
const GUEST = 8 * PAGE;
const PAGES = 16;

/** Modes to run in, as mode keys; x87 is usable in all. */
export const Mode = {
    real: ModeKey.X87Usable,
    virtual8086: ModeKey.X87Usable | ModeKey.Protected | ModeKey.Virtual8086 | (3 << ModeKey.CplShift),
    protected16: ModeKey.X87Usable | ModeKey.Protected | ModeKey.Flat | ModeKey.FlatCode,
    protected32: ModeKey.X87Usable | ModeKey.Protected | ModeKey.Flat | ModeKey.FlatCode | 1,
    long: ModeKey.X87Usable | ModeKey.Protected | ModeKey.Flat | ModeKey.FlatCode | ModeKey.Long | 2,
} as const;

/** An exception that the guest instruction raised. */
export class Fault extends Error {
    constructor(readonly vector: number) {
        super(`exception ${vector}`);
    }
}

export class X87Machine {
    readonly memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    private readonly view = new DataView(this.memory.buffer);
    private readonly codeTable = new CodeTable();
    private readonly handlers: Handlers;
    /** Stores and loads at or above this linear address raise #PF. */
    accessLimit = 0x1000;
    /** How often FERR# was asserted. */
    ferr = 0;

    constructor() {
        const scratch = CPU + StateOffset.scratch;
        const bytes = new Uint8Array(this.memory.buffer);
        const locate = (access: number): [at: number, size: number] => {
            const size = 1 << (access & 7);
            const linear = this.view.getUint32(CPU + StateOffset.accessAddress, true);
            if (linear + size > this.accessLimit) {
                throw new Fault(14);
            }
            return [GUEST + linear, size];
        };
        const helpers = {
            ...x87Helpers(this.memory, () => this.ferr++),
            loadMiss: (_cpu: number, access: number) => {
                const [at, size] = locate(access);
                bytes.fill(0xee, scratch, scratch + 16);
                bytes.copyWithin(scratch, at, at + size);
            },
            storeMiss: (_cpu: number, access: number) => {
                const [at, size] = locate(access);
                bytes.copyWithin(at, scratch, scratch + size);
            },
            raise: (_cpu: number, vector: number) => {
                throw new Fault(vector);
            },
            segmentCheck: () => {
                throw new Fault(13);
            },
        };
        const fixed = { hotThreshold: 100, blockTable: undefined };
        this.handlers = new Handlers(this.memory, this.codeTable, x87Semantics, helpers, fixed, () => 0);
        // All entries of the soft TLB miss.
        this.setState32(StateOffset.tlb, 5 * PAGE);
        bytes.fill(0xff, 5 * PAGE, 7 * PAGE);
        for (let segment = 0; segment < 6; segment++) {
            this.setState32(segmentOffset(segment) + SegmentOffset.limit, 0xffff);
        }
        this.setState32(StateOffset.rflags, 2);
        this.setState32(StateOffset.cr0, 0x21);
    }

    // --- state -------------------------------------------------------------------------------------------------------

    state8(offset: number): number {
        return this.view.getUint8(CPU + offset);
    }

    setState8(offset: number, value: number): void {
        this.view.setUint8(CPU + offset, value);
    }

    state16(offset: number): number {
        return this.view.getUint16(CPU + offset, true);
    }

    setState16(offset: number, value: number): void {
        this.view.setUint16(CPU + offset, value, true);
    }

    state32(offset: number): number {
        return this.view.getUint32(CPU + offset, true);
    }

    setState32(offset: number, value: number): void {
        this.view.setUint32(CPU + offset, value, true);
    }

    setState64(offset: number, value: bigint): void {
        this.view.setBigUint64(CPU + offset, value, true);
    }

    setSelector(segment: Segment, selector: number, base: number): void {
        this.setState32(segmentOffset(segment) + SegmentOffset.selector, selector);
        this.setState32(segmentOffset(segment) + SegmentOffset.base, base);
    }

    /** The bytes of the whole x87 state, to see that nothing changed. */
    snapshot(): Buffer {
        return Buffer.from(new Uint8Array(this.memory.buffer).slice(CPU + StateOffset.x87, CPU + StateOffset.mxcsr));
    }

    /** Guest memory from linear address `address`. */
    guest(address: number, size: number): Uint8Array {
        return new Uint8Array(this.memory.buffer, GUEST + address, size);
    }

    // --- execution -------------------------------------------------------------------------------------------------------

    /** Runs the instruction at RIP `rip`. @throws Fault */
    run(code: readonly number[], mode: number = Mode.long, rip = 0): void {
        const codeSize = ([16, 32, 64] as const)[mode & ModeKey.CodeSizeMask];
        const instruction = decode(Uint8Array.from(code), 0, code.length, codeSize);
        if (typeof instruction === 'number') {
            throw new Error(`undecodable: ${Buffer.from(code).toString('hex')}`);
        }
        this.setState64(StateOffset.blockRip, BigInt(rip));
        this.writeRecord(instruction, mode);
        const enter = this.codeTable.table.get(FixedHandler.EnterFlat) as (cpu: number, record: number) => number;
        enter(CPU, RECORD);
    }

    /** As the engine's cache of blocks does it. */
    private writeRecord(instruction: Instruction, mode: number): void {
        const { view } = this;
        // Whether the mode lets x87 instructions run is the engine's to decide.
        const row = { ...instruction.row, attributes: 0 };
        const handler = this.handlers.find({ ...instruction, row }, mode);
        this.handlers.flush();
        writeRecord(view, RECORD, instruction, handler, { ipOffset: 0, ordinal: 0, left: 1 });
        view.setUint32(RECORD + RecordOffset.size + RecordOffset.handler, FixedHandler.Stale, true);
    }
}

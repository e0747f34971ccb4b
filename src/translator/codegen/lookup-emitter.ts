/**
 * What follows a miss in the jump cache: the block at RIP is looked up by its physical address, in the fetch TLB and the
 * block table, entered in the jump cache, and run. Without TypeScript, as switching between processes costs hundreds of
 * these.
 */
import { CpuArea, FetchOrigin, FetchTlb, JumpCache, JumpRecord, ModeKey, StateOffset } from '../../machine/state';
import { Wasm } from '../../wasm/module';
import { StateAccess, Type } from '../ir/opcodes';
import { LOCAL_CPU } from './function-writer';
import { ExitReason } from './exit';
import { type HandlerEmitter } from './handler-emitter';
import { RecordOffset } from './record';

/** A place in the block table (see `engine/block-table.ts`). */
export const enum BlockPlace {
    /** u32: physical address / 4096; all ones: empty. */
    page = 0,
    /** u32: see {@link blockKeyOf}. */
    key = 4,
    /** u32: address of the block's header record. */
    record = 8,
    size = 16,
    bits = 17,
    tableSize = size << bits,
}

const PAGE_FACTOR = 0x9e3779b1;
const KEY_FACTOR = 0x85ebca6b;

/** Mode key and offset in the page. */
export function blockKeyOf(mode: number, offset: number): number {
    return ((mode << 12) | offset) >>> 0;
}

/** Offset in the table of a block's first place; the second one is this one ^ `BlockPlace.size`. */
export function placeOf(page: number, key: number): number {
    const hash = (Math.imul(page, PAGE_FACTOR) + Math.imul(key, KEY_FACTOR)) >>> (32 - BlockPlace.bits);
    return hash * BlockPlace.size;
}

/** Emits the look-up of the block at blockRip, for vCPUs whose code segment is flat. `table`: address of the block table. */
export function emitLookup(e: HandlerEmitter, table: number, functionType: number): void {
    const rip = e.takeLocal(Type.I64);
    const low = e.takeLocal(Type.I32);
    const high = e.takeLocal(Type.I32);
    const mode = e.takeLocal(Type.I32);
    const entry = e.takeLocal(Type.I32);
    const origin = e.takeLocal(Type.I32);
    const page = e.takeLocal(Type.I32);
    const key = e.takeLocal(Type.I32);
    const place = e.takeLocal(Type.I32);
    const missIf = (): void => {
        e.openIf();
        e.i32Const(ExitReason.Miss);
        e.out.byte(Wasm.Return);
        e.close();
    };
    e.loadState(StateOffset.blockRip, StateAccess.I64);
    e.localTee(rip);
    e.opcode(Wasm.I32WrapI64);
    e.localSet(low);
    e.localGet(rip);
    e.i64Const(32, 0);
    e.opcode(Wasm.I64ShrU);
    e.opcode(Wasm.I32WrapI64);
    e.localSet(high);
    e.loadState(StateOffset.mode, StateAccess.I32);
    e.localSet(mode);

    // The page, in the fetch TLB.
    pageNumber(e, low);
    e.i32Const(FetchTlb.entries - 1);
    e.opcode(Wasm.I32And);
    e.i32Const(Math.log2(FetchTlb.entrySize));
    e.opcode(Wasm.I32Shl);
    e.localGet(LOCAL_CPU);
    e.opcode(Wasm.I32Add);
    e.localTee(entry);
    e.memory(Wasm.I64Load, CpuArea.fetchTlb + FetchTlb.tag);
    e.localGet(rip);
    e.i64Const(~0xfff, -1);
    e.opcode(Wasm.I64And);
    e.opcode(Wasm.I64Ne);
    missIf();
    e.localGet(entry);
    e.memory(Wasm.I32Load, CpuArea.fetchTlb + FetchTlb.origin);
    e.localTee(origin);
    e.i32Const(FetchOrigin.User);
    e.opcode(Wasm.I32And);
    e.opcode(Wasm.I32Eqz);
    e.localGet(mode);
    e.i32Const(3 << ModeKey.CplShift);
    e.opcode(Wasm.I32And);
    e.i32Const(3 << ModeKey.CplShift);
    e.opcode(Wasm.I32Eq);
    e.opcode(Wasm.I32Eq); // supervisor's entry and user, or the other way round
    missIf();
    e.localGet(entry);
    e.memory(Wasm.I32Load, CpuArea.fetchTlb + FetchTlb.page);
    e.localSet(page);

    // The block, in one of its two places.
    e.localGet(mode);
    e.i32Const(12);
    e.opcode(Wasm.I32Shl);
    e.localGet(low);
    e.i32Const(0xfff);
    e.opcode(Wasm.I32And);
    e.opcode(Wasm.I32Or);
    e.localSet(key);
    e.localGet(page);
    e.i32Const(PAGE_FACTOR | 0);
    e.opcode(Wasm.I32Mul);
    e.localGet(key);
    e.i32Const(KEY_FACTOR | 0);
    e.opcode(Wasm.I32Mul);
    e.opcode(Wasm.I32Add);
    e.i32Const(32 - BlockPlace.bits);
    e.opcode(Wasm.I32ShrU);
    e.i32Const(Math.log2(BlockPlace.size));
    e.opcode(Wasm.I32Shl);
    e.localSet(place);
    differs(e, table, place, page, key);
    e.openIf();
    e.localGet(place);
    e.i32Const(BlockPlace.size);
    e.opcode(Wasm.I32Xor);
    e.localSet(place);
    differs(e, table, place, page, key);
    missIf();
    e.close();
    e.localGet(place);
    e.memory(Wasm.I32Load, table + BlockPlace.record);
    e.localSet(place); // from here on: the record

    enterJumpCache(e, { rip, low, high, mode, origin, record: place, slot: page, at: entry, kind: key });
    e.localGet(LOCAL_CPU);
    e.localGet(place);
    e.localGet(place);
    e.memory(Wasm.I32Load, RecordOffset.handler);
    e.out.byte(Wasm.ReturnCallIndirect);
    e.out.u32(functionType);
    e.out.byte(0);
}

function pageNumber(e: HandlerEmitter, low: number): void {
    e.localGet(low);
    e.i32Const(12);
    e.opcode(Wasm.I32ShrU);
}

/** Leaves 1 if another block is at the place. */
function differs(e: HandlerEmitter, table: number, place: number, page: number, key: number): void {
    e.localGet(place);
    e.memory(Wasm.I32Load, table + BlockPlace.page);
    e.localGet(page);
    e.opcode(Wasm.I32Ne);
    e.localGet(place);
    e.memory(Wasm.I32Load, table + BlockPlace.key);
    e.localGet(key);
    e.opcode(Wasm.I32Ne);
    e.opcode(Wasm.I32Or);
}

/** Locals of {@link enterJumpCache}; `slot`, `at` and `kind` are free for it to use. */
interface NewEntry {
    readonly rip: number;
    readonly low: number;
    readonly high: number;
    readonly mode: number;
    readonly origin: number;
    readonly record: number;
    readonly slot: number;
    readonly at: number;
    readonly kind: number;
}

/** As `JumpCacheTable.enter`. */
function enterJumpCache(e: HandlerEmitter, entry: NewEntry): void {
    const { rip, low, high, mode, origin, record, slot, at, kind } = entry;
    e.localGet(low);
    pageNumber(e, low);
    e.opcode(Wasm.I32Xor);
    e.i32Const(JumpCache.entries - 1);
    e.opcode(Wasm.I32And);
    e.localTee(slot);
    e.i32Const(Math.log2(JumpCache.entrySize));
    e.opcode(Wasm.I32Shl);
    e.localGet(LOCAL_CPU);
    e.opcode(Wasm.I32Add);
    e.localTee(at);
    e.localGet(rip);
    e.memory(Wasm.I64Store, CpuArea.jumpCache + JumpCache.rip);
    e.localGet(at);
    e.localGet(record);
    e.memory(Wasm.I32Store, CpuArea.jumpCache + JumpCache.record);
    e.localGet(at);
    e.localGet(mode);
    e.memory(Wasm.I32Store, CpuArea.jumpCache + JumpCache.mode);
    e.localGet(origin);
    e.i32Const(FetchOrigin.Global);
    e.opcode(Wasm.I32And);
    e.localSet(kind);
    e.localGet(LOCAL_CPU);
    e.localGet(slot);
    e.opcode(Wasm.I32Add);
    e.localTee(at);
    e.localGet(kind);
    e.memory(Wasm.I32Store8, CpuArea.jumpRecord + JumpRecord.kind);
    // The log of this kind.
    e.localGet(at);
    e.memory(Wasm.I32Load8U, CpuArea.jumpRecord + JumpRecord.inLog);
    e.localGet(kind);
    e.opcode(Wasm.I32ShrU);
    e.i32Const(1);
    e.opcode(Wasm.I32And);
    e.opcode(Wasm.I32Eqz);
    e.openIf();
    e.localGet(at);
    e.localGet(at);
    e.memory(Wasm.I32Load8U, CpuArea.jumpRecord + JumpRecord.inLog);
    e.i32Const(1);
    e.localGet(kind);
    e.opcode(Wasm.I32Shl);
    e.opcode(Wasm.I32Or);
    e.memory(Wasm.I32Store8, CpuArea.jumpRecord + JumpRecord.inLog);
    const counter = (): void => {
        e.localGet(kind);
        e.i32Const(2);
        e.opcode(Wasm.I32Shl);
        e.localGet(LOCAL_CPU);
        e.opcode(Wasm.I32Add);
    };
    counter();
    e.localTee(at);
    e.memory(Wasm.I32Load, CpuArea.jumpRecord + JumpRecord.logged);
    e.i32Const(1);
    e.opcode(Wasm.I32Shl);
    e.localGet(LOCAL_CPU);
    e.opcode(Wasm.I32Add);
    e.localGet(kind);
    e.i32Const(JumpRecord.logSize);
    e.opcode(Wasm.I32Mul);
    e.opcode(Wasm.I32Add);
    e.localGet(slot);
    e.memory(Wasm.I32Store16, CpuArea.jumpRecord + JumpRecord.log);
    e.localGet(at);
    e.localGet(at);
    e.memory(Wasm.I32Load, CpuArea.jumpRecord + JumpRecord.logged);
    e.i32Const(1);
    e.opcode(Wasm.I32Add);
    e.memory(Wasm.I32Store, CpuArea.jumpRecord + JumpRecord.logged);
    e.close();
    // What it reaches, as `PageReach.add`.
    const mark = (set: number, right: number, left: number): void => {
        e.localGet(low);
        e.i32Const(right);
        e.opcode(Wasm.I32ShrU);
        e.localGet(high);
        e.i32Const(left);
        e.opcode(Wasm.I32Shl);
        e.opcode(Wasm.I32Xor);
        e.i32Const((1 << JumpRecord.reachBits) - 1);
        e.opcode(Wasm.I32And);
        e.localGet(kind);
        e.i32Const(JumpRecord.reachBits);
        e.opcode(Wasm.I32Shl);
        e.opcode(Wasm.I32Add);
        e.localGet(LOCAL_CPU);
        e.opcode(Wasm.I32Add);
        e.i32Const(1);
        e.memory(Wasm.I32Store8, CpuArea.jumpRecord + set);
    };
    mark(JumpRecord.pages, 12, 4);
    e.localGet(origin);
    e.i32Const(FetchOrigin.Large);
    e.opcode(Wasm.I32And);
    e.openIf();
    mark(JumpRecord.regions, 30, 2);
    e.close();
}

/**
 * A translated region: blocks as one structured WebAssembly function. Registers and flags live in locals;
 * they are read on entry and written back on exit. Whatever the fast paths cannot do leaves the region before the
 * instruction concerned ("punts"), and the interpreter tier does it.
 */
import { CpuArea, JumpCache, ModeKey, StateOffset, Tier, gprOffset } from '../../machine/state';
import { ByteWriter } from '../../wasm/bytes';
import { Wasm } from '../../wasm/module';
import { type Helper, type IrFunction } from '../ir/function';
import { type MemoryAccess, STATE_ACCESS_TYPE, StateAccess, Type } from '../ir/opcodes';
import { type Graph, type Node, leavesPage } from '../region/graph';
import { Emitter } from './emitter';
import { DeferredCarries } from './deferred-carries';
import { LOCAL_CPU, MEMORY_STORE } from './function-writer';
import { ExitReason } from './exit';
import { RecordOffset } from './record';
import { type TranslatedModule, emitDispatch, emitJumpCacheSlot } from './handler-emitter';

/** Host address of the linear address in `accessAddress`, or 0 if the access cannot be done inside a region. */
export const REGION_MISS: Helper = { name: 'regionMiss', parameters: [Type.I32], result: Type.I32 };

/** An open WebAssembly block or loop that branches may go to. */
interface Label {
    readonly node: Node;
    /** Value of `depth` inside it. */
    readonly depth: number;
}

interface Slot {
    readonly local: number;
    readonly access: StateAccess;
    written: boolean;
}

export class RegionEmitter extends Emitter {
    protected readonly missYieldsAddress = true;
    private readonly slots = new Map<number, Slot>();
    private readonly rip = this.takeLocal(Type.I64);
    private readonly base = this.takeLocal(Type.I64);
    private readonly remaining = this.takeLocal(Type.I64);
    /** How the region is left: 0 to the block at RIP, an exit reason to the dispatcher, else to that record's handler. */
    private readonly exitTo = this.takeLocal(Type.I32);
    private readonly tlb = this.takeLocal(Type.I32);
    private readonly labels: Label[] = [];
    /** The node whose code is being emitted. */
    protected node!: Node;
    /** Bytes of the code between prologue and end, once it has been emitted. */
    protected bodyLength = 0;
    /** Undefined as long as nothing touches flagAux. */
    private carries: DeferredCarries | undefined;
    private readonly is64: boolean;

    constructor(
        private readonly target: TranslatedModule,
        private readonly graph: Graph,
        private readonly lift: (node: Node) => IrFunction,
        mode: number,
        private readonly notesTier = false,
    ) {
        super();
        this.is64 = (mode & ModeKey.CodeSizeMask) === 2;
        this.slots.set(StateOffset.remaining, { local: this.remaining, access: StateAccess.I64, written: true });
        this.slots.set(StateOffset.tlb, { local: this.tlb, access: StateAccess.I32, written: true });
        this.codeIsFlat = (mode & ModeKey.FlatCode) !== 0;
    }

    private readonly codeIsFlat: boolean;

    /** The whole function body. */
    emitRegion(): Uint8Array {
        const entry = this.graph.nodes[0];
        this.out.byte(Wasm.Block); // $exit
        this.out.byte(0x40);
        this.depth = 1;
        if (!entry.isLoopHeader) {
            this.emitBudgetCheck(entry);
        }
        this.emitTree(entry);
        this.out.byte(Wasm.Unreachable);
        this.close();
        this.emitEpilogue();
        const body = this.out.finish();
        this.bodyLength = body.length;
        this.out.clear();
        this.emitPrologue(entry);
        const prologue = new ByteWriter();
        prologue.append(this.out.bytes, this.out.length);
        this.out.append(body);
        return this.finish();
    }

    // --- registers -----------------------------------------------------------------------------------------------

    private slot(offset: number, access: StateAccess): Slot | undefined {
        if (!isPromoted(offset)) {
            return undefined;
        }
        let slot = this.slots.get(offset);
        if (slot === undefined) {
            slot = { local: this.newLocal(STATE_ACCESS_TYPE[access]), access, written: false };
            this.slots.set(offset, slot);
        }
        return slot.access === access ? slot : undefined;
    }

    protected mayDelayGet(offset: number): boolean {
        return isPromoted(offset);
    }

    protected emitGet(offset: number, access: StateAccess): void {
        if (offset === StateOffset.flagAux) {
            this.flagAux().get();
            return;
        }
        const slot = this.slot(offset, access);
        if (slot !== undefined) {
            this.localGet(slot.local);
        } else {
            this.loadState(offset, access);
        }
    }

    protected emitSet(offset: number, access: StateAccess, value: () => void): void {
        if (offset === StateOffset.flagAux) {
            this.flagAux().set(value);
            return;
        }
        const slot = this.slot(offset, access);
        if (slot !== undefined) {
            value();
            this.localSet(slot.local);
            slot.written = true;
            if (offset === StateOffset.tlb) {
                // The slow path of accesses fills the soft TLB that the state names.
                this.storeState(offset, access, () => this.localGet(slot.local));
            }
        } else {
            this.storeState(offset, access, value);
        }
    }

    protected emitSetCarries(isSubtraction: boolean, width: number, first: () => void): void {
        this.flagAux().defer(isSubtraction, width, first);
    }

    private flagAux(): DeferredCarries {
        if (this.carries === undefined) {
            const [value, scratch] = [this.newLocal(Type.I64), this.newLocal(Type.I64)];
            const result = this.slot(StateOffset.flagResult, StateAccess.I64)!.local;
            this.carries = new DeferredCarries(this, value, this.newLocal(Type.I32), result, scratch);
        }
        return this.carries;
    }

    protected emitTlbBase(): void {
        this.localGet(this.tlb);
    }

    protected emitRip(low: number, high: number): void {
        this.localGet(this.base);
        if (low !== 0 || high !== 0) {
            this.i64Const(low, high);
            this.opcode(Wasm.I64Add);
        }
        if (!this.is64) {
            this.i64Const(-1, 0);
            this.opcode(Wasm.I64And);
        }
    }

    protected helperFunction(helper: number): number {
        return this.target.helper(this.ir.helpers[helper]);
    }

    // --- entry and exit ------------------------------------------------------------------------------------------

    private emitPrologue(entry: Node): void {
        if (this.notesTier) {
            this.noteTier(Tier.Region);
        }
        // blockRip is the entry's RIP; RIPs in the region are relative to the start of its page.
        this.loadState(StateOffset.blockRip, StateAccess.I64);
        this.i64Const(entry.offset, 0);
        this.opcode(Wasm.I64Sub);
        this.localSet(this.base);
        for (const [offset, slot] of this.slots) {
            this.loadState(offset, slot.access);
            this.localSet(slot.local);
        }
        this.carries?.load();
    }

    private emitEpilogue(): void {
        if (this.carries?.isWritten) {
            this.carries.store();
        }
        for (const [offset, slot] of this.slots) {
            if (slot.written) {
                this.storeState(offset, slot.access, () => this.localGet(slot.local));
            }
        }
        this.storeState(StateOffset.blockRip, StateAccess.I64, () => this.localGet(this.rip));
        this.localGet(this.exitTo);
        this.openIf();
        this.localGet(this.exitTo);
        this.i32Const(LARGEST_REASON);
        this.opcode(Wasm.I32LeU);
        this.openIf();
        this.localGet(this.exitTo);
        this.out.byte(Wasm.Return);
        this.close();
        if (this.notesTier) {
            this.noteTier(Tier.Interpreter);
        }
        this.localGet(LOCAL_CPU);
        this.localGet(this.exitTo);
        this.localGet(this.exitTo);
        this.memory(Wasm.I32Load, RecordOffset.handler);
        this.out.byte(Wasm.ReturnCallIndirect);
        this.out.u32(this.target.functionType);
        this.out.byte(0);
        this.close();
        emitDispatch(this, this.target.functionType, this.rip, this.codeIsFlat);
        this.out.byte(Wasm.Unreachable);
    }

    /** Leaves the region; RIP is in the local. `to`: see {@link exitTo}. */
    private emitExit(to: number): void {
        if (to !== 0) {
            this.i32Const(to);
            this.localSet(this.exitTo);
        }
        this.out.byte(Wasm.Br);
        this.out.u32(this.depth - 1);
    }

    private setRip(offset: number): void {
        this.emitRip(offset | 0, Math.floor(offset / 0x100000000));
        this.localSet(this.rip);
    }

    private emitBudgetCheck(node: Node): void {
        this.localGet(this.remaining);
        this.i64Const(node.cost, 0);
        this.opcode(Wasm.I64LtS);
        this.openIf();
        this.setRip(node.offset);
        this.emitExit(ExitReason.Budget);
        this.close();
    }

    // --- control flow --------------------------------------------------------------------------------------------

    /** Emits a node and all it dominates. */
    private emitTree(node: Node): void {
        if (node.isLoopHeader) {
            this.out.byte(Wasm.Loop);
            this.out.byte(0x40);
            this.depth++;
            this.labels.push({ node, depth: this.depth });
            this.emitBudgetCheck(node);
            this.emitWithin(node, node.mergeChildren.length);
            this.labels.pop();
            this.out.byte(Wasm.Unreachable);
            this.close();
        } else {
            this.emitWithin(node, node.mergeChildren.length);
        }
    }

    /** Emits a node inside the blocks whose ends lead to its first `count` merge children. */
    private emitWithin(node: Node, count: number): void {
        if (count === 0) {
            this.emitNode(node);
            return;
        }
        const child = node.mergeChildren[count - 1];
        this.out.byte(Wasm.Block);
        this.out.byte(0x40);
        this.depth++;
        this.labels.push({ node: child, depth: this.depth });
        this.emitWithin(node, count - 1);
        this.labels.pop();
        this.out.byte(Wasm.Unreachable);
        this.close();
        this.emitTree(child);
    }

    private emitNode(node: Node): void {
        const outer = this.node;
        this.node = node;
        this.localGet(this.remaining);
        this.i64Const(node.block.count, 0);
        this.opcode(Wasm.I64Sub);
        this.localSet(this.remaining);
        this.nested(() => this.emitSequence(this.lift(node)));
        this.node = outer;
    }

    /** Goes to the node: a branch where it is already open, else it is emitted here. */
    private emitBranch(target: Node): void {
        for (let i = this.labels.length - 1; i >= 0; i--) {
            if (this.labels[i].node === target) {
                this.out.byte(Wasm.Br);
                this.out.u32(this.depth - this.labels[i].depth);
                return;
            }
        }
        this.emitTree(target);
    }

    protected emitJumpRelative(index: number): void {
        const low = this.ir.a[index];
        const high = this.ir.b[index];
        const target = this.graph.at(high * 0x100000000 + (low >>> 0));
        if (target !== undefined && this.node.successors.includes(target)) {
            this.emitEdge(target);
            return;
        }
        this.emitRip(low, high);
        this.localSet(this.rip);
        this.emitExit(0);
    }

    protected emitJumpIndirect(index: number): void {
        this.value(this.ir.a[index]);
        this.localSet(this.rip);
        for (const site of this.node.returns) {
            if (this.node.successors.includes(site)) {
                this.localGet(this.rip);
                this.emitRip(site.offset | 0, Math.floor(site.offset / 0x100000000));
                this.opcode(Wasm.I64Eq);
                this.openIf();
                this.emitEdge(site);
                this.close();
            }
        }
        this.emitExit(0);
    }

    /** Goes from the present node to one of its successors. */
    private emitEdge(target: Node): void {
        if (leavesPage(this.node, target)) {
            this.emitGuard(target);
        }
        this.emitBranch(target);
    }

    /**
     * Leaves the region unless its code for `target` is what is mapped there: pages of a region are mapped independently
     * of each other. The jump cache holds what is mapped, and is flushed when that changes.
     */
    private emitGuard({ offset, block }: Node): void {
        const slot = this.takeLocal(Type.I32);
        this.setRip(offset);
        emitJumpCacheSlot(this, this.rip, slot);
        this.localTee(slot);
        this.memory(Wasm.I64Load, CpuArea.jumpCache + JumpCache.rip);
        this.localGet(this.rip);
        this.opcode(Wasm.I64Ne);
        this.localGet(slot);
        this.memory(Wasm.I32Load, CpuArea.jumpCache + JumpCache.record);
        this.i32Const(block.record);
        this.opcode(Wasm.I32Ne);
        this.opcode(Wasm.I32Or);
        this.freeLocal(slot);
        this.openIf();
        this.emitExit(0);
        this.close();
    }

    protected emitNext(): void {
        throw new Error('a region has no next record');
    }

    protected emitSystem(index: number): void {
        this.emitPunt(this.ir.c[index]);
    }

    protected emitRaise(index: number): void {
        this.emitPunt(this.ir.c[index]);
    }

    /**
     * Has the interpreter tier go on at the instruction that side exit `exit` belongs to, with everything as it was
     * before it. The block has been accounted for as a whole, as the interpreter's header does.
     */
    private emitPunt(exit: number): void {
        this.emitSideExit(exit);
        // The SideExit operation before the exit's own ones names the instruction's ordinal.
        const ordinal = this.ir.c[this.exitRanges[exit][0] - 1];
        this.setRip(this.node.offset);
        this.emitExit(this.node.block.record + (ordinal + 1) * RecordOffset.size);
    }

    protected emitLoadMiss(index: number, access: MemoryAccess, linear: number): void {
        this.emitMiss(linear, access | (this.ir.d[index] !== 0 ? 8 : 0), this.ir.c[index]);
    }

    protected emitStoreMiss(index: number, access: MemoryAccess, linear: number, value: number): void {
        this.emitMiss(linear, access | 8, this.ir.d[index]);
        this.localGet(value);
        this.memory(MEMORY_STORE[access], 0);
    }

    /** Leaves the host address on the stack, or the region. */
    private emitMiss(linear: number, kind: number, exit: number): void {
        const host = this.takeLocal(Type.I32);
        this.storeState(StateOffset.accessAddress, StateAccess.I64, () => this.localGet(linear));
        this.localGet(LOCAL_CPU);
        this.i32Const(kind);
        this.out.byte(Wasm.Call);
        this.out.u32(this.target.helper(REGION_MISS));
        this.localTee(host);
        this.opcode(Wasm.I32Eqz);
        this.openIf();
        this.emitPunt(exit);
        this.close();
        this.localGet(host);
        this.freeLocal(host);
    }
}

/** Exit reasons are small; record addresses are not. */
const LARGEST_REASON = 63;

/** State that lives in locals: general registers, the low 128 bits of vector registers, flagResult. */
function isPromoted(offset: number): boolean {
    return (
        offset < gprOffset(16) ||
        offset === StateOffset.flagResult ||
        offset === StateOffset.remaining ||
        offset === StateOffset.tlb ||
        (offset >= StateOffset.vector && offset < StateOffset.scratch && (offset & 63) === 0)
    );
}

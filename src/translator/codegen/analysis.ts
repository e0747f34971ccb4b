/**
 * Decides for each value of an IR sequence where it is computed: at its only use (so that it stays on the WebAssembly
 * stack) or where it stands (then in a local), and until when that local is needed.
 */
import { type IrFunction, forEachOperand, isPure, sideExitOf } from '../ir/function';
import { Op } from '../ir/opcodes';

export interface Placement {
    /** 1 if the value is computed at its only use. */
    readonly delayed: Uint8Array;
    /** Number of uses. */
    readonly uses: Uint32Array;
    /** Index of the last operation at whose emission the value (or variable) may be read. */
    readonly lastUse: Int32Array;
}

/** Longest chain of delayed values: bounds the recursion of the emitter whatever the guest's code looks like. */
const DELAY_DEPTH = 64;

/**
 * Analyses operations [0, ir.length). `mayDelayGet(offset)` tells whether reads of that state field may move down to
 * their use when no write to the same field is between (true for fields that only `set` operations change).
 */
export function placeValues(ir: IrFunction, mayDelayGet: (offset: number) => boolean): Placement {
    const length = ir.length;
    const uses = new Uint32Array(length);
    const user = new Int32Array(length).fill(-1);
    const lastUse = new Int32Array(length);
    /** Innermost loop (index of its Loop operation) or -1, and whether inside a side exit. */
    const loop = new Int32Array(length);
    const inExit = new Uint8Array(length);
    const loopEnd = new Map<number, number>();
    /** Loop → the loop around it. */
    const outer = new Map<number, number>();
    /** Side exit number → last operation that may take it. */
    const exitSite: number[] = [];
    const exitBody: number[] = [];

    const loops: number[] = [-1];
    let exit = -1;
    for (let i = 0; i < length; i++) {
        const op = ir.op[i];
        if (op === Op.Loop) {
            outer.set(i, loops[loops.length - 1]);
            loops.push(i);
        } else if (op === Op.SideExit) {
            exit = ir.a[i];
            exitBody[exit] = i;
            exitSite[exit] = i;
        }
        loop[i] = loops[loops.length - 1];
        inExit[i] = exit >= 0 ? 1 : 0;
        if (op === Op.LoopEnd) {
            loopEnd.set(loops.pop()!, i);
        } else if (op === Op.SideExitEnd) {
            exit = -1;
        }
        const taken = sideExitOf(ir, i);
        if (taken >= 0) {
            exitSite[taken] = i;
        }
    }

    // Only what something live uses is computed.
    for (let i = length - 1; i >= 0; i--) {
        if (uses[i] > 0 || !(isPure(ir, i) || ir.op[i] === Op.Get)) {
            forEachOperand(ir, i, value => {
                uses[value]++;
                user[value] = i;
            });
        }
    }

    const delayed = new Uint8Array(length);
    const emitAt = new Int32Array(length);
    const depth = new Uint8Array(length);
    const nextWrite = new Map<number, number>();
    let nextBarrier = length;
    for (let i = length - 1; i >= 0; i--) {
        const op = ir.op[i];
        emitAt[i] = i;
        if (uses[i] === 1 && loop[user[i]] === loop[i]) {
            const candidate = delayed[user[i]] ? emitAt[user[i]] : user[i];
            const below = delayed[user[i]] ? depth[user[i]] + 1 : 1;
            const sameLoop = loop[candidate] === loop[i];
            if (below < DELAY_DEPTH && sameLoop) {
                if (isPure(ir, i)) {
                    delayed[i] = 1;
                } else if (op === Op.Get && !inExit[candidate] && mayDelayGet(ir.a[i])) {
                    delayed[i] = (nextWrite.get(ir.a[i]) ?? length) >= candidate && nextBarrier >= candidate ? 1 : 0;
                }
                if (delayed[i]) {
                    emitAt[i] = candidate;
                    depth[i] = below;
                }
            }
        }
        if (op === Op.Set) {
            nextWrite.set(ir.a[i], i);
        } else if (op === Op.Loop || op === Op.If || op === Op.Else || op === Op.End) {
            // State read in one arm and used in another would see the other path's writes.
            nextBarrier = i;
        }
    }

    let exitIndex = -1;
    for (let i = 0; i < length; i++) {
        if (ir.op[i] === Op.SideExit) {
            exitIndex = ir.a[i];
        }
        const at = exitIndex >= 0 ? exitSite[exitIndex] : delayed[i] ? emitAt[i] : i;
        const touch = (value: number): void => {
            let last = Math.max(at, inExit[emitAt[i]] ? lastSiteOf(emitAt[i], ir, exitSite, exitBody) : at);
            // A value from outside a loop is needed until the loop ends.
            for (let l = loop[at]; l > value; l = outer.get(l)!) {
                last = Math.max(last, loopEnd.get(l)!);
            }
            lastUse[value] = Math.max(lastUse[value], last);
        };
        forEachOperand(ir, i, touch);
        if (ir.op[i] === Op.VariableGet || ir.op[i] === Op.VariableSet) {
            touch(ir.a[i]);
        }
        if (ir.op[i] === Op.SideExitEnd) {
            exitIndex = -1;
        }
    }
    return { delayed, uses, lastUse };
}

function lastSiteOf(index: number, ir: IrFunction, exitSite: readonly number[], exitBody: readonly number[]): number {
    for (let exit = exitBody.length - 1; exit >= 0; exit--) {
        if (exitBody[exit] <= index) {
            return exitSite[exit];
        }
    }
    return index;
}

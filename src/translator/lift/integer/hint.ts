/**
 * Instructions that change nothing a program can see here: hints, and fences, as memory accesses happen in program order.
 * Their memory operands are not accessed (SDM Vol. 2: NOP, PREFETCHh). ENDBR and RDSSP do nothing without CET.
 */
import { type Semantic, type SemanticTable } from '../semantics';

const nothing: Semantic = () => {};

export const HINT: SemanticTable = {
    NOP: nothing,
    PAUSE: nothing,
    PREFETCHNTA: nothing,
    PREFETCHT0: nothing,
    PREFETCHT1: nothing,
    PREFETCHT2: nothing,
    PREFETCH: nothing,
    PREFETCHW: nothing,
    PREFETCHWT1: nothing,
    LFENCE: nothing,
    MFENCE: nothing,
    SFENCE: nothing,
    ENDBR32: nothing,
    ENDBR64: nothing,
    RDSSP: nothing,
};

/**
 * The IR's pure operations: those of WebAssembly, one to one, so that code generation is a table look-up and their
 * meaning is defined by the WebAssembly core specification (section 4.3, "Numerics").
 *
 * Guest-dependent operations (state, memory, control) are in {@link Op} below the pure ones.
 */

/** Value types. `Void` is the type of operations without a result. */
export const enum Type {
    Void,
    I32,
    I64,
    F32,
    F64,
    V128,
}

/** WebAssembly encodings of the value types (binary format, section 5.3.1). */
export const WASM_TYPE: readonly number[] = [0x40, 0x7f, 0x7e, 0x7d, 0x7c, 0x7b];
export const TYPE_NAMES: readonly string[] = ['void', 'i32', 'i64', 'f32', 'f64', 'v128'];

/**
 * `name hex signature`: hex is the WebAssembly opcode (0xFDxx: SIMD opcode xx, 0xFCxx: prefix FC); the signature lists
 * operand types and, after the colon, the result: i = i32, l = i64, f = f32, d = f64, v = v128. A `#` means that a lane
 * number follows the opcode.
 */
const PURE = `
i32.eqz 45 i:i|i32.eq 46 ii:i|i32.ne 47 ii:i|i32.lt_s 48 ii:i|i32.lt_u 49 ii:i|i32.gt_s 4a ii:i|i32.gt_u 4b ii:i
i32.le_s 4c ii:i|i32.le_u 4d ii:i|i32.ge_s 4e ii:i|i32.ge_u 4f ii:i
i64.eqz 50 l:i|i64.eq 51 ll:i|i64.ne 52 ll:i|i64.lt_s 53 ll:i|i64.lt_u 54 ll:i|i64.gt_s 55 ll:i|i64.gt_u 56 ll:i
i64.le_s 57 ll:i|i64.le_u 58 ll:i|i64.ge_s 59 ll:i|i64.ge_u 5a ll:i
f32.eq 5b ff:i|f32.ne 5c ff:i|f32.lt 5d ff:i|f32.gt 5e ff:i|f32.le 5f ff:i|f32.ge 60 ff:i
f64.eq 61 dd:i|f64.ne 62 dd:i|f64.lt 63 dd:i|f64.gt 64 dd:i|f64.le 65 dd:i|f64.ge 66 dd:i
i32.clz 67 i:i|i32.ctz 68 i:i|i32.popcnt 69 i:i|i32.add 6a ii:i|i32.sub 6b ii:i|i32.mul 6c ii:i
i32.div_s 6d ii:i|i32.div_u 6e ii:i|i32.rem_s 6f ii:i|i32.rem_u 70 ii:i|i32.and 71 ii:i|i32.or 72 ii:i|i32.xor 73 ii:i
i32.shl 74 ii:i|i32.shr_s 75 ii:i|i32.shr_u 76 ii:i|i32.rotl 77 ii:i|i32.rotr 78 ii:i
i64.clz 79 l:l|i64.ctz 7a l:l|i64.popcnt 7b l:l|i64.add 7c ll:l|i64.sub 7d ll:l|i64.mul 7e ll:l
i64.div_s 7f ll:l|i64.div_u 80 ll:l|i64.rem_s 81 ll:l|i64.rem_u 82 ll:l|i64.and 83 ll:l|i64.or 84 ll:l|i64.xor 85 ll:l
i64.shl 86 ll:l|i64.shr_s 87 ll:l|i64.shr_u 88 ll:l|i64.rotl 89 ll:l|i64.rotr 8a ll:l
f32.abs 8b f:f|f32.neg 8c f:f|f32.ceil 8d f:f|f32.floor 8e f:f|f32.trunc 8f f:f|f32.nearest 90 f:f|f32.sqrt 91 f:f
f32.add 92 ff:f|f32.sub 93 ff:f|f32.mul 94 ff:f|f32.div 95 ff:f|f32.min 96 ff:f|f32.max 97 ff:f|f32.copysign 98 ff:f
f64.abs 99 d:d|f64.neg 9a d:d|f64.ceil 9b d:d|f64.floor 9c d:d|f64.trunc 9d d:d|f64.nearest 9e d:d|f64.sqrt 9f d:d
f64.add a0 dd:d|f64.sub a1 dd:d|f64.mul a2 dd:d|f64.div a3 dd:d|f64.min a4 dd:d|f64.max a5 dd:d|f64.copysign a6 dd:d
i32.wrap_i64 a7 l:i|i64.extend_i32_s ac i:l|i64.extend_i32_u ad i:l
f32.convert_i32_s b2 i:f|f32.convert_i32_u b3 i:f|f32.convert_i64_s b4 l:f|f32.convert_i64_u b5 l:f|f32.demote_f64 b6 d:f
f64.convert_i32_s b7 i:d|f64.convert_i32_u b8 i:d|f64.convert_i64_s b9 l:d|f64.convert_i64_u ba l:d
f64.promote_f32 bb f:d|i32.reinterpret_f32 bc f:i|i64.reinterpret_f64 bd d:l|f32.reinterpret_i32 be i:f
f64.reinterpret_i64 bf l:d|i32.extend8_s c0 i:i|i32.extend16_s c1 i:i|i64.extend8_s c2 l:l|i64.extend16_s c3 l:l
i64.extend32_s c4 l:l
i32.trunc_sat_f32_s fc00 f:i|i32.trunc_sat_f32_u fc01 f:i|i32.trunc_sat_f64_s fc02 d:i|i32.trunc_sat_f64_u fc03 d:i
i64.trunc_sat_f32_s fc04 f:l|i64.trunc_sat_f32_u fc05 f:l|i64.trunc_sat_f64_s fc06 d:l|i64.trunc_sat_f64_u fc07 d:l
i8x16.swizzle fd0e vv:v|i8x16.splat fd0f i:v|i16x8.splat fd10 i:v|i32x4.splat fd11 i:v|i64x2.splat fd12 l:v
f32x4.splat fd13 f:v|f64x2.splat fd14 d:v
i8x16.extract_lane_s fd15 v:i#|i8x16.extract_lane_u fd16 v:i#|i8x16.replace_lane fd17 vi:v#
i16x8.extract_lane_s fd18 v:i#|i16x8.extract_lane_u fd19 v:i#|i16x8.replace_lane fd1a vi:v#
i32x4.extract_lane fd1b v:i#|i32x4.replace_lane fd1c vi:v#|i64x2.extract_lane fd1d v:l#|i64x2.replace_lane fd1e vl:v#
f32x4.extract_lane fd1f v:f#|f32x4.replace_lane fd20 vf:v#|f64x2.extract_lane fd21 v:d#|f64x2.replace_lane fd22 vd:v#
i8x16.eq fd23 vv:v|i8x16.ne fd24 vv:v|i8x16.lt_s fd25 vv:v|i8x16.lt_u fd26 vv:v|i8x16.gt_s fd27 vv:v
i8x16.gt_u fd28 vv:v|i8x16.le_s fd29 vv:v|i8x16.le_u fd2a vv:v|i8x16.ge_s fd2b vv:v|i8x16.ge_u fd2c vv:v
i16x8.eq fd2d vv:v|i16x8.ne fd2e vv:v|i16x8.lt_s fd2f vv:v|i16x8.lt_u fd30 vv:v|i16x8.gt_s fd31 vv:v
i16x8.gt_u fd32 vv:v|i16x8.le_s fd33 vv:v|i16x8.le_u fd34 vv:v|i16x8.ge_s fd35 vv:v|i16x8.ge_u fd36 vv:v
i32x4.eq fd37 vv:v|i32x4.ne fd38 vv:v|i32x4.lt_s fd39 vv:v|i32x4.lt_u fd3a vv:v|i32x4.gt_s fd3b vv:v
i32x4.gt_u fd3c vv:v|i32x4.le_s fd3d vv:v|i32x4.le_u fd3e vv:v|i32x4.ge_s fd3f vv:v|i32x4.ge_u fd40 vv:v
f32x4.eq fd41 vv:v|f32x4.ne fd42 vv:v|f32x4.lt fd43 vv:v|f32x4.gt fd44 vv:v|f32x4.le fd45 vv:v|f32x4.ge fd46 vv:v
f64x2.eq fd47 vv:v|f64x2.ne fd48 vv:v|f64x2.lt fd49 vv:v|f64x2.gt fd4a vv:v|f64x2.le fd4b vv:v|f64x2.ge fd4c vv:v
v128.not fd4d v:v|v128.and fd4e vv:v|v128.andnot fd4f vv:v|v128.or fd50 vv:v|v128.xor fd51 vv:v
v128.bitselect fd52 vvv:v|v128.any_true fd53 v:i
f32x4.demote_f64x2_zero fd5e v:v|f64x2.promote_low_f32x4 fd5f v:v
i8x16.abs fd60 v:v|i8x16.neg fd61 v:v|i8x16.popcnt fd62 v:v|i8x16.all_true fd63 v:i|i8x16.bitmask fd64 v:i
i8x16.narrow_i16x8_s fd65 vv:v|i8x16.narrow_i16x8_u fd66 vv:v
f32x4.ceil fd67 v:v|f32x4.floor fd68 v:v|f32x4.trunc fd69 v:v|f32x4.nearest fd6a v:v
i8x16.shl fd6b vi:v|i8x16.shr_s fd6c vi:v|i8x16.shr_u fd6d vi:v|i8x16.add fd6e vv:v|i8x16.add_sat_s fd6f vv:v
i8x16.add_sat_u fd70 vv:v|i8x16.sub fd71 vv:v|i8x16.sub_sat_s fd72 vv:v|i8x16.sub_sat_u fd73 vv:v
f64x2.ceil fd74 v:v|f64x2.floor fd75 v:v|i8x16.min_s fd76 vv:v|i8x16.min_u fd77 vv:v|i8x16.max_s fd78 vv:v
i8x16.max_u fd79 vv:v|f64x2.trunc fd7a v:v|i8x16.avgr_u fd7b vv:v
i16x8.extadd_pairwise_i8x16_s fd7c v:v|i16x8.extadd_pairwise_i8x16_u fd7d v:v
i32x4.extadd_pairwise_i16x8_s fd7e v:v|i32x4.extadd_pairwise_i16x8_u fd7f v:v
i16x8.abs fd80 v:v|i16x8.neg fd81 v:v|i16x8.q15mulr_sat_s fd82 vv:v|i16x8.all_true fd83 v:i|i16x8.bitmask fd84 v:i
i16x8.narrow_i32x4_s fd85 vv:v|i16x8.narrow_i32x4_u fd86 vv:v|i16x8.extend_low_i8x16_s fd87 v:v
i16x8.extend_high_i8x16_s fd88 v:v|i16x8.extend_low_i8x16_u fd89 v:v|i16x8.extend_high_i8x16_u fd8a v:v
i16x8.shl fd8b vi:v|i16x8.shr_s fd8c vi:v|i16x8.shr_u fd8d vi:v|i16x8.add fd8e vv:v|i16x8.add_sat_s fd8f vv:v
i16x8.add_sat_u fd90 vv:v|i16x8.sub fd91 vv:v|i16x8.sub_sat_s fd92 vv:v|i16x8.sub_sat_u fd93 vv:v
f64x2.nearest fd94 v:v|i16x8.mul fd95 vv:v|i16x8.min_s fd96 vv:v|i16x8.min_u fd97 vv:v|i16x8.max_s fd98 vv:v
i16x8.max_u fd99 vv:v|i16x8.avgr_u fd9b vv:v|i16x8.extmul_low_i8x16_s fd9c vv:v|i16x8.extmul_high_i8x16_s fd9d vv:v
i16x8.extmul_low_i8x16_u fd9e vv:v|i16x8.extmul_high_i8x16_u fd9f vv:v
i32x4.abs fda0 v:v|i32x4.neg fda1 v:v|i32x4.all_true fda3 v:i|i32x4.bitmask fda4 v:i
i32x4.extend_low_i16x8_s fda7 v:v|i32x4.extend_high_i16x8_s fda8 v:v|i32x4.extend_low_i16x8_u fda9 v:v
i32x4.extend_high_i16x8_u fdaa v:v|i32x4.shl fdab vi:v|i32x4.shr_s fdac vi:v|i32x4.shr_u fdad vi:v
i32x4.add fdae vv:v|i32x4.sub fdb1 vv:v|i32x4.mul fdb5 vv:v|i32x4.min_s fdb6 vv:v|i32x4.min_u fdb7 vv:v
i32x4.max_s fdb8 vv:v|i32x4.max_u fdb9 vv:v|i32x4.dot_i16x8_s fdba vv:v
i32x4.extmul_low_i16x8_s fdbc vv:v|i32x4.extmul_high_i16x8_s fdbd vv:v|i32x4.extmul_low_i16x8_u fdbe vv:v
i32x4.extmul_high_i16x8_u fdbf vv:v
i64x2.abs fdc0 v:v|i64x2.neg fdc1 v:v|i64x2.all_true fdc3 v:i|i64x2.bitmask fdc4 v:i
i64x2.extend_low_i32x4_s fdc7 v:v|i64x2.extend_high_i32x4_s fdc8 v:v|i64x2.extend_low_i32x4_u fdc9 v:v
i64x2.extend_high_i32x4_u fdca v:v|i64x2.shl fdcb vi:v|i64x2.shr_s fdcc vi:v|i64x2.shr_u fdcd vi:v
i64x2.add fdce vv:v|i64x2.sub fdd1 vv:v|i64x2.mul fdd5 vv:v|i64x2.eq fdd6 vv:v|i64x2.ne fdd7 vv:v
i64x2.lt_s fdd8 vv:v|i64x2.gt_s fdd9 vv:v|i64x2.le_s fdda vv:v|i64x2.ge_s fddb vv:v
i64x2.extmul_low_i32x4_s fddc vv:v|i64x2.extmul_high_i32x4_s fddd vv:v|i64x2.extmul_low_i32x4_u fdde vv:v
i64x2.extmul_high_i32x4_u fddf vv:v
f32x4.abs fde0 v:v|f32x4.neg fde1 v:v|f32x4.sqrt fde3 v:v|f32x4.add fde4 vv:v|f32x4.sub fde5 vv:v|f32x4.mul fde6 vv:v
f32x4.div fde7 vv:v|f32x4.min fde8 vv:v|f32x4.max fde9 vv:v|f32x4.pmin fdea vv:v|f32x4.pmax fdeb vv:v
f64x2.abs fdec v:v|f64x2.neg fded v:v|f64x2.sqrt fdef v:v|f64x2.add fdf0 vv:v|f64x2.sub fdf1 vv:v|f64x2.mul fdf2 vv:v
f64x2.div fdf3 vv:v|f64x2.min fdf4 vv:v|f64x2.max fdf5 vv:v|f64x2.pmin fdf6 vv:v|f64x2.pmax fdf7 vv:v
i32x4.trunc_sat_f32x4_s fdf8 v:v|i32x4.trunc_sat_f32x4_u fdf9 v:v|f32x4.convert_i32x4_s fdfa v:v
f32x4.convert_i32x4_u fdfb v:v|i32x4.trunc_sat_f64x2_s_zero fdfc v:v|i32x4.trunc_sat_f64x2_u_zero fdfd v:v
f64x2.convert_low_i32x4_s fdfe v:v|f64x2.convert_low_i32x4_u fdff v:v
`;

/** A pure operation. */
export interface PureOperation {
    readonly code: number;
    readonly name: string;
    /** WebAssembly opcode: one byte, or 0xFCxx / 0xFDxx with the sub-opcode in the low byte. */
    readonly wasm: number;
    readonly operands: readonly Type[];
    readonly result: Type;
    readonly hasLane: boolean;
}

/**
 * Operations that are not one WebAssembly instruction. Fields a, b, c, d are those of {@link IrFunction}; `value` means
 * the index of the operation that computes it. Pure operations have codes from {@link FIRST_PURE} on.
 */
export const enum Op {
    /** a = the number. */
    Const32,
    /** a = low, b = high 32 bits. */
    Const64,
    /** a = index into `vectors` (16 bytes each). */
    ConstV128,
    /** select(condition, ifTrue, ifFalse): a = ifTrue, b = ifFalse, c = condition (i32). */
    Select,
    /** i8x16.shuffle: a, b = operands; c = index into `vectors` of the 16 lane numbers. */
    Shuffle,
    /** Read guest state at byte offset a with {@link StateAccess} b. */
    Get,
    /** Write value c to guest state at byte offset a with {@link StateAccess} b. */
    Set,
    /** Read guest state at dynamic byte offset: a + value c; StateAccess b. */
    GetIndexed,
    /** Write value d at a + value c; StateAccess b. */
    SetIndexed,
    /** Field at byte offset a of the current decoded-instruction record; StateAccess b. Interpreter tier only. */
    Record,
    /** Create a mutable variable of the result type with initial value a. */
    Variable,
    /** Current value of variable a (index of its Variable operation). */
    VariableGet,
    /** Assign value b to variable a. */
    VariableSet,
    /** if (value a, i32) … */
    If,
    Else,
    End,
    /** do { … } while (value a of the matching LoopEnd, i32). */
    Loop,
    LoopEnd,
    /**
     * Load from guest memory at linear address a (i64); b = {@link MemoryAccess}; c = side exit; d = 1 when a store to
     * the same address follows (faults report a write). Zero-extended to the result type.
     */
    Load,
    /** Store value c at linear address a (i64); b = MemoryAccess; d = side exit. */
    Store,
    /**
     * Address in the shared memory (i32) of linear address a if the page is in the soft TLB for this kind of access,
     * else 0. b = 1 for write. Never faults. For bulk operations.
     */
    HostAddress,
    /** memory.copy of c bytes from shared-memory address b to a (all i32 values). */
    MemoryCopy,
    /** memory.fill of c bytes (i32 value) at shared-memory address a (i32 value) with byte b (i32 value). */
    MemoryFill,
    /** Call helper a with arguments in `extra` from b, c of them; d = side exit if the helper may fault. */
    Call,
    /** Raise exception a (vector); b = error code value or -1. Ends this path. c = side exit. */
    Raise,
    /**
     * Go to a known address: a = low, b = high 32 bits of the displacement from the current instruction's RIP,
     * c = link slot (0 fall-through, 1 taken). Ends this path.
     */
    JumpRelative,
    /** Go to the RIP in value a (i64, already masked to the operand size). Ends this path. */
    JumpIndirect,
    /** Go on with the next instruction. Ends this path (needed only where control would not reach the end). */
    Next,
    /** Leave translated code and have the system operation of this instruction run by the dispatcher. Ends this path. */
    System,
    /** Start and end of side exit a: operations that bring lazily kept state up to date, run only when it is taken. */
    SideExit,
    SideExitEnd,
    /** RIP of the current instruction plus displacement (a low, b high), i64. */
    Rip,
    /** Address of the current decoded-instruction record (i32). Interpreter tier only. */
    RecordAddress,
    /**
     * flagAux becomes that of an addition without carry in (a = 0) or a subtraction without borrow in (a = 1) of b bits
     * whose first operand is value c (i64, bits above the width do not matter) and whose result has just been set as
     * flagResult. Regions only: they compute it when it is read.
     */
    SetCarries,
}

/** Name of every non-pure operation, in the order of {@link Op}: used by the text form. */
export const OP_NAMES: readonly string[] = [
    'const', 'const', 'const', 'select', 'shuffle', 'get', 'set', 'getx', 'setx', 'record', 'var', 'var.get', 'var.set',
    'if', 'else', 'end', 'loop', 'loop.end', 'load', 'store', 'hostaddr', 'memcopy', 'memfill', 'call', 'raise',
    'jump', 'jump.indirect', 'next', 'system', 'exit', 'exit.end', 'rip', 'record.address', 'carries',
]; // prettier-ignore

/** How a state or record field is read or written. */
export const enum StateAccess {
    U8,
    U16,
    I32,
    I64,
    F32,
    F64,
    V128,
    /** Zero-extended 32-bit field as i64. */
    U32AsI64,
    /** Sign-extended 32-bit field as i64 (reads only). */
    S32AsI64,
    U8AsI64,
    U16AsI64,
}
export const STATE_ACCESS_TYPE: readonly Type[] = [
    Type.I32,
    Type.I32,
    Type.I32,
    Type.I64,
    Type.F32,
    Type.F64,
    Type.V128,
    Type.I64,
    Type.I64,
    Type.I64,
    Type.I64,
];

/** Width of a guest memory access. */
export const enum MemoryAccess {
    M8,
    M16,
    M32,
    M64,
    M128,
}
export const MEMORY_ACCESS_TYPE: readonly Type[] = [Type.I32, Type.I32, Type.I32, Type.I64, Type.V128];
export const MEMORY_ACCESS_BYTES: readonly number[] = [1, 2, 4, 8, 16];

export const FIRST_PURE = 64;

const TYPE_LETTERS: Readonly<Record<string, Type>> = {
    i: Type.I32,
    l: Type.I64,
    f: Type.F32,
    d: Type.F64,
    v: Type.V128,
};

function parsePure(): PureOperation[] {
    const operations: PureOperation[] = [];
    for (const entry of PURE.trim().split(/[|\n]/)) {
        const [name, hex, signature] = entry.split(' ');
        const [operands, result] = signature.split(':');
        operations.push({
            code: FIRST_PURE + operations.length,
            name,
            wasm: parseInt(hex, 16),
            operands: [...operands].map(letter => TYPE_LETTERS[letter]),
            result: TYPE_LETTERS[result[0]],
            hasLane: result.endsWith('#'),
        });
    }
    return operations;
}

/** All pure operations; index = code − {@link FIRST_PURE}. */
export const PURE_OPERATIONS: readonly PureOperation[] = parsePure();
const BY_NAME = new Map(PURE_OPERATIONS.map(operation => [operation.name, operation]));

/** The pure operation of that WebAssembly name. Throws on an unknown name (a programming error). */
export function pureOperation(name: string): PureOperation {
    const operation = BY_NAME.get(name);
    if (operation === undefined) {
        throw new Error(`unknown IR operation ${name}`);
    }
    return operation;
}

/**
 * The Registers view.
 *
 * `hyperscope/registers`   {@link RegistersArguments} → {@link RegistersBody}
 * `hyperscope/setRegister` {@link SetRegisterArguments} → {@link SetRegisterBody}
 *
 * Parts of registers are registers too: `zf`, `cs.base`, `cr0.wp`, `dr7.rw0`, `xmm3.u16.5`. Setting a part keeps the
 * rest of the register.
 */
import type { Hex, VcpuArguments } from './common';

export type NumberBase = 'hex' | 'decimal' | 'binary';

/** How the lanes of vector registers are shown. */
export type LaneView = 'u8' | 'u16' | 'u32' | 'u64' | 'i8' | 'i16' | 'i32' | 'i64' | 'f32' | 'f64';

export interface RegistersArguments extends VcpuArguments {
    /** Default `hex`. */
    readonly base?: NumberBase;
    /** Default `u32`. */
    readonly lanes?: LaneView;
}

export interface RegistersBody {
    readonly vcpu: number;
    /** False: the guest runs, and the values may be old by the time they arrive. */
    readonly stopped: boolean;
    readonly groups: readonly RegisterGroupItem[];
}

export interface RegisterGroupItem {
    /** `General`, `Flags`, `Segments`, `Control`, `Debug`, `MSRs`, `x87`, `SSE`. */
    readonly name: string;
    readonly registers: readonly RegisterItem[];
    /** Why the group has nothing to show. */
    readonly problem?: string;
}

export interface RegisterItem {
    /** What expressions and `hyperscope/setRegister` call it. */
    readonly name: string;
    /** Its name below its parent: `base`, `WP`, `[3]`; the same as `name` at the top. */
    readonly label: string;
    /** Bits. */
    readonly width: number;
    /** The bits as they are. */
    readonly value: Hex;
    /** The value as it is to be shown: in the base that was asked for, or as a floating-point number. */
    readonly text: string;
    /** What the value says: `code 64-bit ring 0`, `PE MP ET NE WP PG`. */
    readonly description?: string;
    /** `start_kernel+0x10`, if the value is an address with a name. */
    readonly symbol?: string;
    /** A DAP memory reference, if the value is (or may well be) an address. */
    readonly memoryReference?: string;
    readonly writable: boolean;
    /** Why there is no value: then `value` and `text` mean nothing. */
    readonly problem?: string;
    /** Present where the value is another one than at the stop before. */
    readonly changed?: {
        /** The value at the stop before, and its text. */
        readonly value: Hex;
        readonly text: string;
    };
    readonly parts?: readonly RegisterItem[];
}

export interface SetRegisterArguments extends VcpuArguments {
    readonly name: string;
    /** A number or an expression; for a lane of floating-point numbers, and for an x87 register, also `1.5`, `-inf`. */
    readonly value: string;
    readonly base?: NumberBase;
}

export interface SetRegisterBody {
    readonly register: RegisterItem;
}

/**
 * How the instruction table is written.
 *
 * A table file is text that reads like the opcode pages of Intel SDM Vol. 2, one row a line, columns separated by two
 * or more blanks:
 *
 *     opcode             instruction              attributes, features and flags
 *     0F B1 /r           CMPXCHG Ev,Gv            lock @i486 w:oszapc
 *
 * **Opcode column**: as in SDM Vol. 2, 3.1.1.1: `/r`, `/0`…`/7`, `+r` (register in the opcode), `C0+i` (ST(i) in the
 * ModRM byte), a full ModRM byte (`0F 01 D0`), `NP` (neither 66, F2 nor F3), `NFx` (neither F2 nor F3), `66`/`F2`/`F3`
 * as mandatory prefix, `REX.W`, `VEX.LZ.F2.0F38.W0`. Immediates are not repeated here, the operands say them.
 *
 * Deviations from the manual:
 * - `o16`, `o32`, `o64` before the opcode select by effective operand size and `a16`, `a32`, `a64` by address size, where
 *   the manual gives one opcode several mnemonics (CBW/CWDE/CDQE, JCXZ/JECXZ/JRCXZ).
 * - `REX.B` selects by that bit (only 90: NOP without, XCHG R8,rAX with).
 * - `mem` and `reg` restrict ModRM.mod where no operand does (LFENCE against XRSTOR).
 * - String instructions have one row per operand class, `MOVS Yv,Xv`, and never the mnemonics MOVSB/MOVSD/CMPSD…: those
 *   would collide with SSE2's MOVSD and CMPSD. The disassembler prints the usual `movsd`.
 * - Near branches, PUSH and the like carry `f64`/`d64` instead of a second row for 64-bit mode.
 * - Obsolete encodings that CPUs still execute have rows: 82, F6/F7 /1, D0–D3 /6, SALC, INT1, x87 aliases.
 *
 * **Operand notation**: SDM Vol. 2, Appendix A.2. `X/Y` means X with a register in ModRM.rm, Y with memory there.
 * Addressing letters: A far pointer; B VEX.vvvv register; C, D control and debug register in ModRM.reg; E general
 * register or memory; G general register in ModRM.reg; I immediate; J branch displacement; M memory; N, P, Q MMX register
 * in rm, in reg, register or memory; O offset without ModRM; R general register in rm; S segment register; U, V, W XMM
 * register in rm, in reg, register or memory; X DS:rSI; Y ES:rDI; Z general register in the low opcode bits.
 * Size letters: a BOUND's pair; b byte; w word; d doubleword; q quadword; dq, x, ps, pd, qs 16 bytes; ss, sd scalars of
 * 4 and 8; p far pointer of 4, 6 or 10; s pseudo-descriptor of 6 or 10; t 10 bytes; v 2, 4 or 8 by operand size; y 4 or 8
 * by operand size; z 2 or 4 by operand size.
 *
 * Deviations from the manual:
 * - `sIb` is an immediate byte that is sign-extended to the operand size (the manual says so in prose only).
 * - `Rd`, `Cd` and `Dd` are 8 bytes wide in 64-bit mode (the manual says `Rd` for both).
 * - `Ez` in MOVSXD: the source is 2 bytes with operand size 16, else 4.
 * - A lone `M` is memory whose extent the operand does not tell (FXSAVE, INVLPG, PREFETCHh).
 * - XMM0 is written out where it is an implicit operand (BLENDVPS, SHA256RNDS2).
 *
 * **Third column**: attributes, a CPUID feature (`@bmi1`), and flags: `r:` may be read, `w:` written, `u:` written with an
 * undefined value, over the letters of {@link FLAG_LETTERS}. A flag that may also keep its old value (shifts by a count
 * that may be 0, repeated compares) is both read and written.
 *
 * When several rows match the same bytes, the row with more conditions wins, so `0F BC BSF` is what `F3 0F BC TZCNT`
 * leaves over.
 */

/** Rows that share attributes and a CPUID feature. */
export interface RowGroup {
    /** CPUID feature of rows that name none themselves; '' for the base architecture. */
    readonly feature: string;
    /** Attribute words of every row of the group. */
    readonly attributes: string;
    /** The rows, see the module comment. */
    readonly rows: string;
}

/** EFLAGS bits by the letters of the table's flags column. */
export const FLAG_LETTERS: Readonly<Record<string, number>> = {
    c: 1 << 0, // CF
    p: 1 << 2, // PF
    a: 1 << 4, // AF
    z: 1 << 6, // ZF
    s: 1 << 7, // SF
    t: 1 << 8, // TF
    i: 1 << 9, // IF
    d: 1 << 10, // DF
    o: 1 << 11, // OF
    l: 3 << 12, // IOPL
    n: 1 << 14, // NT
    f: 1 << 16, // RF
    m: 1 << 17, // VM
    k: 1 << 18, // AC, the alignment check (and SMAP override) flag
    v: 3 << 19, // VIF, VIP
    e: 1 << 21, // ID
};

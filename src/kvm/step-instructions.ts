/**
 * Instructions that single-stepping has to know: repeated string instructions (SDM Vol. 2, REP), in which the processor
 * can be left between iterations, and HLT.
 */
import type { Cpu } from '../machine/cpu/cpu';
import type { GuestMemory } from '../machine/memory';
import { Flag } from '../machine/state';
import { locate } from './linear-memory';
import { linearRip } from './vcpu';

const MOST_BYTES = 15;
const HLT = 0xf4;
const IRET = 0xcf;
const POPF = 0x9d;
const TWO_BYTE = 0x0f;
const SYSCALL = 0x05;
const SYSRET = 0x07;
const GROUP_7 = 0x01;
const SWAPGS = 0xf8;
const OPERAND_SIZE = 0x66;

/** Whether the instruction at RIP is a string instruction with REP or REPNE. */
export function isRepeatedString(cpu: Cpu, memory: GuestMemory): boolean {
    let repeated = false;
    for (let offset = 0; offset < MOST_BYTES; offset++) {
        const byte = codeByte(cpu, memory, offset);
        switch (byte) {
            case 0xf2:
            case 0xf3:
                repeated = true;
                break;
            case 0x26:
            case 0x2e:
            case 0x36:
            case 0x3e:
            case 0x64:
            case 0x65:
            case 0x66:
            case 0x67:
            case 0xf0:
                break;
            default:
                if (cpu.code64 && byte >= 0x40 && byte <= 0x4f) break;
                return repeated && isString(byte);
        }
    }
    return false;
}

/** INS, OUTS; MOVS, CMPS; STOS, LODS, SCAS. */
function isString(opcode: number): boolean {
    return (
        (opcode >= 0x6c && opcode <= 0x6f) || (opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf)
    );
}

/** Whether the instruction at RIP is HLT. */
export function isHalt(cpu: Cpu, memory: GuestMemory): boolean {
    return codeByte(cpu, memory, 0) === HLT;
}

/**
 * Whether a step over the instruction at RIP would lose the guest's own RFLAGS.TF: KVM takes it for the one that it steps
 * by. It is set, or may become so: POPF, IRET, SYSRET.
 */
export function losesTrapFlag(cpu: Cpu, memory: GuestMemory): boolean {
    if ((cpu.systemFlags & Flag.TF) !== 0) return true;
    const { byte, offset } = opcodeAt(cpu, memory);
    return byte === POPF || byte === IRET || (byte === TWO_BYTE && codeByte(cpu, memory, offset + 1) === SYSRET);
}

/**
 * Whether KVM without hardware beneath it does not step properly over the instruction at RIP. After IRET, SWAPGS, SYSCALL
 * and SYSRET it stops an instruction later; at CPL 3 it comes back before the instruction, or gives the guest the #DB.
 */
export function losesStep(cpu: Cpu, memory: GuestMemory): boolean {
    if (cpu.cpl === 3) return true;
    const { byte, offset } = opcodeAt(cpu, memory);
    if (byte === TWO_BYTE) {
        const second = codeByte(cpu, memory, offset + 1);
        return (
            second === SYSCALL ||
            second === SYSRET ||
            (second === GROUP_7 && codeByte(cpu, memory, offset + 2) === SWAPGS)
        );
    }
    return byte === IRET;
}

/** The first byte of the opcode at RIP, behind the prefixes that system instructions have. */
function opcodeAt(cpu: Cpu, memory: GuestMemory): { readonly byte: number; readonly offset: number } {
    let offset = 0;
    let byte = codeByte(cpu, memory, offset);
    if (byte === OPERAND_SIZE) byte = codeByte(cpu, memory, ++offset);
    if (cpu.code64 && (byte & 0xf0) === 0x40) byte = codeByte(cpu, memory, ++offset);
    return { byte, offset };
}

/** A byte of the code at RIP, or -1. */
function codeByte(cpu: Cpu, memory: GuestMemory, offset: number): number {
    const linear = BigInt.asUintN(cpu.code64 ? 64 : 32, linearRip(cpu) + BigInt(offset));
    const place = locate(cpu, memory, linear);
    return place === undefined ? -1 : memory.bytes[place.at];
}

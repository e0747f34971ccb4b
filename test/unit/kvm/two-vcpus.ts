/** A program for two vCPUs. */
import assert from 'node:assert/strict';
import { ENTRY } from './kernel';
import type { KvmMachine, kvmMachine } from './kvm-machine';

/** Starts the second vCPU; EBX is then the number of each. */
const TWO_VCPUS = [
    'fa', // 0: cli
    'bc 00 70 00 00', // 1: mov esp, 0x7000
    'be bf 00 10 00 bf 00 80 00 00 b9 3b 00 00 00 f3 a4', // 6: what the other one begins with, to 0x8000
    'b8 00 00 e0 fe', // 23: mov eax, the local APIC
    'c7 80 10 03 00 00 00 00 00 01', // 28: mov dword [eax+0x310], 1 << 24
    'c7 80 00 03 00 00 00 45 0c 00', // 38: INIT, to all others
    'c7 80 00 03 00 00 08 46 0c 00', // 48: start-up, at 0x8000
    '31 db', // 58: xor ebx, ebx
    'a1 08 50 00 00', // 60: mov eax, [WORK]
    '85 c0 74 05 48 74 20', // 65: test eax, eax; jz 74; dec eax; jz 104
    'eb fe', // 72: jmp 72
    // Hands a ball back and forth until it has been passed often enough.
    'a1 00 50 00 00 3b 05 04 50 00 00', // 74: mov eax, [BALL]; cmp eax, [LIMIT]
    '73 2a 89 c1 83 e1 01 39 d9 75 ea', // 85: jae 129; mov ecx, eax; and ecx, 1; cmp ecx, ebx; jne 74
    'ff 05 00 50 00 00 eb e2', // 96: inc dword [BALL]; jmp 74
    // Calls a function as often.
    '8b 3d 04 50 00 00', // 104: mov edi, [LIMIT]
    'e8 05 00 00 00 4f 75 f8 eb 09', // 110: call 120; dec edi; jnz 110; jmp 129
    'f0 ff 04 9d 10 50 00 00 c3', // 120: lock inc dword [CALLS+ebx*4]; ret
    'f0 ff 05 0c 50 00 00', // 129: lock inc dword [DONE]
    '85 db 75 0d', // 136: test ebx, ebx; jne 153
    '83 3d 0c 50 00 00 02 75 f7', // 140: cmp dword [DONE], 2; jne 140
    'b0 00 e6 f4', // 149: mov al, 0; out DEBUG_EXIT, al
    'fa f4 eb fc', // 153: cli; hlt; jmp 153
    // The second vCPU in protected mode.
    '66 b8 10 00 8e d8 8e c0 8e d0', // 157: mov ax, 0x10; mov ds, es, ss, ax
    'bc 00 60 00 00 bb 01 00 00 00 eb 89', // 167: mov esp, 0x6000; mov ebx, 1; jmp 60
    // And before, at 0x8000.
    'fa 31 c0 8e d8 0f 01 16 35 80', // 179: cli; xor ax, ax; mov ds, ax; lgdt [0x8035]
    '0f 20 c0 0c 01 0f 22 c0', // 189: mov eax, cr0; or al, 1; mov cr0, eax
    '66 ea a9 00 10 00 08 00 8d 74 00', // 197: jmp 8:157
    '00 00 00 00 00 00 00 00 ff ff 00 00 00 9b cf 00 ff ff 00 00 00 93 cf 00', // 208: the GDT
    '17 00 1d 80 00 00', // 232: its limit and base
].join(' ');
export const SPIN = ENTRY + 72;
export const FUNCTION = 120;

export const BALL = 0x5000;
export const CALLS = 0x5010;

export const enum Work {
    Ball = 0,
    Calls = 1,
    Spin = 2,
}

export function startTwo(build: typeof kvmMachine, work: Work, limit: number): KvmMachine {
    const built = build(TWO_VCPUS, 2);
    const { memory } = built.machine;
    memory.writeBytes(BALL, new Uint8Array(32));
    memory.write(BALL + 4, 4, limit);
    memory.write(BALL + 8, 4, work);
    return built;
}

/** Until both are where they spin. */
export function untilSpinning({ machine }: KvmMachine): void {
    do {
        assert.equal(machine.run({ instructions: 1e6 }).reason, 'budget');
    } while (machine.processors.some(({ cpu }) => cpu.ripLo !== SPIN));
}

/**
 * The monitor's `info`, in QEMU's words: scripts and clients written for QEMU's stub find what the registers of the
 * protocol do not tell, the hidden parts of segments, descriptor tables and the map of physical memory.
 */
import type { DebugTarget } from '../debug/target';

const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
const SHOWN: Readonly<Record<string, string>> = { ldtr: 'LDT', tr: 'TR ' };

const digits = (value: bigint | undefined, count: number): string => (value ?? 0n).toString(16).padStart(count, '0');

/** One vCPU's, or all of them. */
export async function infoRegisters(target: DebugTarget, vcpus: readonly number[]): Promise<string> {
    const texts = await Promise.all(vcpus.map(async vcpu => `\nCPU#${vcpu}\n${await registersOf(target, vcpu)}`));
    return texts.join('');
}

async function registersOf(target: DebugTarget, vcpu: number): Promise<string> {
    const names = [
        ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'],
        ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
        ...['rip', 'rflags', 'cpl', 'cr0', 'cr2', 'cr3', 'cr4', 'ia32_efer', 'fcw', 'fsw', 'ftw', 'mxcsr'],
        ...['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7', 'gdtr.base', 'gdtr.limit', 'idtr.base', 'idtr.limit'],
        ...SEGMENTS.flatMap(name => [name, `${name}.base`, `${name}.limit`, `${name}.attributes`]),
    ];
    const all = await target.registerValues(vcpu, names);
    const value = (name: string): bigint | undefined => all[names.indexOf(name)];
    const wide = (name: string): string => `${name.toUpperCase().padEnd(3)}=${digits(value(name), 16)}`;
    const halted = (await target.isHalted(vcpu)) ? 1 : 0;
    const lines: string[] = [];
    for (let at = 0; at < 16; at += 4)
        lines.push(
            names
                .slice(at, at + 4)
                .map(wide)
                .join(' '),
        );
    lines.push(`${wide('rip')} RFL=${digits(value('rflags'), 8)} CPL=${value('cpl') ?? 0n} HLT=${halted}`);
    for (const name of SEGMENTS) {
        const attributes = value(`${name}.attributes`) ?? 0n;
        // As in a descriptor's second doubleword.
        const flags = (attributes & 0xf0ffn) << 8n;
        lines.push(
            `${SHOWN[name] ?? name.toUpperCase().padEnd(3)}=${digits(value(name), 4)} ${digits(value(`${name}.base`), 16)} ` +
                `${digits(value(`${name}.limit`), 8)} ${digits(flags, 8)}`,
        );
    }
    for (const name of ['gdt', 'idt']) {
        const [base, limit] = [value(`${name}r.base`), value(`${name}r.limit`)];
        lines.push(`${name.toUpperCase()}=     ${digits(base, 16)} ${digits(limit, 8)}`);
    }
    const control = ['cr0', 'cr2', 'cr3', 'cr4'];
    lines.push(
        control.map(name => `${name.toUpperCase()}=${digits(value(name), /[04]/.test(name) ? 8 : 16)}`).join(' '),
    );
    lines.push(['dr0', 'dr1', 'dr2', 'dr3'].map(wide).join(' '), ['dr6', 'dr7'].map(wide).join(' '));
    lines.push(`EFER=${digits(value('ia32_efer'), 16)}`);
    const status = value('fsw') ?? 0n;
    lines.push(
        `FCW=${digits(value('fcw'), 4)} FSW=${digits(status, 4)} [ST=${(status >> 11n) & 7n}] ` +
            `FTW=${digits(inUse(value('ftw') ?? 0xffffn), 2)} MXCSR=${digits(value('mxcsr'), 8)}`,
    );
    return lines.map(line => `${line}\n`).join('');
}

/** The x87 tags as FXSAVE has them: a bit for each register that is not empty. */
function inUse(tags: bigint): bigint {
    let bits = 0n;
    for (let register = 0n; register < 8n; register++) {
        if (((tags >> (2n * register)) & 3n) !== 3n) bits |= 1n << register;
    }
    return bits;
}

/** Who answers to physical addresses: a flat view as QEMU's `info mtree -f` has it. */
export async function infoMemoryMap(target: DebugTarget): Promise<string> {
    const regions = await target.inspect?.(0, source => source.regions);
    if (regions === undefined) {
        return 'this target does not tell its map of physical memory\n';
    }
    const lines = regions.map(({ first, last, kind, name }) => {
        const range = [first, last].map(address => digits(BigInt(address), 16)).join('-');
        return `  ${range} (prio 0, ${kind === 'device' ? 'i/o' : kind}): ${name}\n`;
    });
    return `FlatView #0\n AS "memory", root: system\n Root memory region: system\n${lines.join('')}`;
}

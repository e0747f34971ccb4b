/** The report of a triple fault: what was executing, the registers, and the chain of faults. */
import { formatInstruction, decode } from '../isa/x86';
import { HyperscopeError } from '../common/errors';
import { SymbolFiles } from '../dap/symbol-files';
import { codeSize } from '../debug/address';
import { programCounter } from '../debug/stack';
import { codeAt } from '../machine/cpu/code-bytes';
import type { ShutdownReport } from '../machine/cpu/interrupts';
import type { Cpu } from '../machine/cpu/cpu';
import type { Machine } from '../machine/machine';
import { StateOffset } from '../machine/state';

const VECTOR_NAMES: Readonly<Record<number, string>> = {
    0: '#DE', 1: '#DB', 3: '#BP', 4: '#OF', 5: '#BR', 6: '#UD', 7: '#NM', 8: '#DF', 10: '#TS', 11: '#NP', 12: '#SS',
    13: '#GP', 14: '#PF', 16: '#MF', 17: '#AC', 19: '#XM',
}; // prettier-ignore
const GPR_NAMES = [
    'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]; // prettier-ignore

/** @param kernel file of the kernel, whose symbols name the instruction's place where it is an ELF file */
export function describeTripleFault(
    machine: Machine,
    vcpu: number,
    report: ShutdownReport | undefined,
    kernel: string | undefined,
): string {
    const { cpu } = machine.processors[vcpu];
    const lines = [`hyperscope: triple fault on vCPU ${vcpu}`];
    for (const [i, fault] of (report?.chain ?? []).entries()) {
        const name = VECTOR_NAMES[fault.vector] ?? `exception ${fault.vector}`;
        const code = fault.errorCode === undefined ? '' : ` error code 0x${fault.errorCode.toString(16)}`;
        const address = fault.address === undefined ? '' : ` at linear address 0x${fault.address.toString(16)}`;
        lines.push(`  ${i === 0 ? 'first' : 'while delivering that'}: ${name}${code}${address}`);
    }
    lines.push(`  at ${cpu.selector(1).toString(16).padStart(4, '0')}:${instructionAt(cpu, kernel)}`);
    for (let i = 0; i < 16; i += 4) {
        lines.push(
            `  ${GPR_NAMES.slice(i, i + 4)
                .map((name, k) => `${name.padStart(3)} ${hex64(cpu.gpr64(i + k))}`)
                .join('  ')}`,
        );
    }
    const control = (name: string, offset: number): string => `${name} ${hex64(cpu.get64(offset))}`;
    lines.push(
        `  ${control('cr0', StateOffset.cr0)}  ${control('cr2', StateOffset.cr2)}`,
        `  ${control('cr3', StateOffset.cr3)}  ${control('cr4', StateOffset.cr4)}`,
        `  rflags ${cpu.rflags.toString(16).padStart(8, '0')}  efer ${hex64(cpu.get64(StateOffset.efer))}`,
        `  idtr ${hex64(cpu.get64(StateOffset.idtrBase))} limit ${cpu.lo(StateOffset.idtrLimit).toString(16)}` +
            `  gdtr ${hex64(cpu.get64(StateOffset.gdtrBase))} limit ${cpu.lo(StateOffset.gdtrLimit).toString(16)}`,
    );
    return `${lines.join('\n')}\n`;
}

function hex64(value: bigint): string {
    return BigInt.asUintN(64, value).toString(16).padStart(16, '0');
}

/** RIP, what is there by the kernel's symbols, and the instruction, as far as its bytes can be read. */
function instructionAt(cpu: Cpu, kernel: string | undefined): string {
    const rip = (BigInt(cpu.ripHi) << 32n) | BigInt(cpu.ripLo);
    const linear = programCounter(cpu);
    const name = kernel === undefined ? undefined : symbolAt(linear, kernel);
    const place = name === undefined ? hex64(rip) : `${hex64(rip)} <${name}>`;
    const bytes = codeAt(cpu, linear);
    const decoded = bytes.length === 0 ? 1 : decode(bytes, 0, bytes.length, codeSize(cpu));
    if (typeof decoded === 'number') {
        return `${place}  (bytes ${Buffer.from(bytes).toString('hex') || 'not mapped'})`;
    }
    return `${place}  ${formatInstruction(decoded, rip)}`;
}

function symbolAt(address: bigint, kernel: string): string | undefined {
    const files = new SymbolFiles();
    try {
        files.add('kernel', kernel);
        return files.table.format(address);
    } catch (error) {
        if (!(error instanceof HyperscopeError)) throw error;
        // The report is not the place to complain about its file.
        return undefined;
    } finally {
        files.close();
    }
}

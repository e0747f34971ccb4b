/**
 * The x87 unit. Lifted code moves memory operands, delivers pending exceptions and records the last-instruction pointers;
 * the work on registers is done by helpers over the shared memory, with softfloat's exact arithmetic.
 */

import { type HelperFunctions } from '../../engine/handlers';
import { type SemanticTable } from '../semantics';
import { ARITHMETIC } from './arithmetic';
import { COMPARE_FAMILY } from './compare';
import { CONTROL } from './control';
import { ENVIRONMENT } from './environment';
import { FERR } from './frame';
import { FUNCTIONS } from './functions';
import { type X87Family } from './helper';
import { X87Registers } from './registers';
import { STORE } from './store';
import { TRANSFER } from './transfer';

export { X87Registers } from './registers';
export { tagWord } from './environment';

const FAMILIES: readonly X87Family[] = [TRANSFER, STORE, ARITHMETIC, FUNCTIONS, COMPARE_FAMILY, CONTROL, ENVIRONMENT];

export const x87Semantics: SemanticTable = Object.assign(
    {},
    ...FAMILIES.map(family => family.semantics),
) as SemanticTable;

/**
 * What {@link x87Semantics} calls, over the vCPU states in `memory`.
 * @param ferr asserts FERR# of the vCPU whose state is at the given address: IRQ 13 of a PC. Called instead of #MF while
 * CR0.NE is clear.
 */
export function x87Helpers(memory: WebAssembly.Memory, ferr: (cpu: number) => void = () => {}): HelperFunctions {
    const fpu = new X87Registers(memory.buffer);
    const functions: Record<string, (...args: number[]) => number | void> = { [FERR.name]: cpu => ferr(cpu) };
    for (const { name, operation } of FAMILIES.flatMap(family => family.helpers)) {
        functions[name] = (cpu, a, b, c) => {
            fpu.select(cpu);
            return operation(fpu, a, b, c);
        };
    }
    return functions;
}

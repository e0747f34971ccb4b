/** The first difference that `hyperscope lockstep` finds, in words: the instruction, what differs, all of the state. */
import type { Divergence } from '../engines/lockstep';
import type { StateRow } from '../engines/lockstep-state';
import { FLAG_BITS, formatInstruction } from '../isa/x86';
import type { MachineStop } from '../machine/stop';
import { vectorName } from '../debug/faults';

const IOPL = 3n << 12n;

const COLUMN = 18;

/** Lines of text, each with its end. */
export function describeDivergence(divergence: Divergence): string {
    const { vcpu, address, instruction, bytes, within, differences, state } = divergence;
    const text = instruction === undefined ? '(bad)' : formatInstruction(instruction, address);
    const code = Array.from(bytes.subarray(0, instruction?.length ?? bytes.length), byte =>
        byte.toString(16).padStart(2, '0'),
    ).join(' ');
    const place = within === 1 ? 'after' : `in the ${within} instructions up to`;
    const lines = [`vCPU ${vcpu}, ${place} ${address.toString(16)}  ${text}  (${code})`, ...reasons(divergence)];

    const shown = new Set(state.map(({ name }) => name));
    const others = differences.filter(({ name }) => !shown.has(name)).map(row => ({ ...row, before: undefined }));
    const rows: readonly StateRow[] = [...others, ...state];
    const width = Math.max(...rows.map(({ name }) => name.length));
    const differing = new Set(differences.map(({ name }) => name));
    const column = (value: bigint | undefined): string =>
        (value === undefined ? '' : value.toString(16).padStart(16, '0')).padEnd(COLUMN);
    lines.push(`  ${''.padEnd(width)}  ${['before', 'translator', 'kvm'].map(name => name.padEnd(COLUMN)).join('')}`);
    for (const row of rows) {
        const mark = differing.has(row.name) ? '*' : ' ';
        const note = differing.has(row.name) && row.name === 'rflags' ? flagsBetween(row.translator, row.kvm) : '';
        lines.push(
            `${mark} ${row.name.padEnd(width)}  ${column(row.before)}${column(row.translator)}${column(row.kvm)}${note}`,
        );
    }
    return lines.map(line => `  ${line.trimEnd()}\n`).join('');
}

function reasons({ stops, handlers }: Divergence): string[] {
    const lines: string[] = [];
    if (stops !== undefined) {
        lines.push(`the translator's machine came back ${cameBack(stops.translator)}, KVM's ${cameBack(stops.kvm)}`);
    }
    if (handlers.translator !== handlers.kvm) {
        const where = (vector: number | undefined): string =>
            vector === undefined ? 'at no handler of an exception' : `at the handler of ${vectorName(vector)}`;
        lines.push(`the translator is ${where(handlers.translator)}, KVM ${where(handlers.kvm)}`);
    }
    return lines;
}

function cameBack(stop: MachineStop): string {
    return stop.reason === 'engineFailed' ? `since its engine failed (${stop.problem})` : `for '${stop.reason}'`;
}

/** The flags that are not the same. */
function flagsBetween(translator: bigint, kvm: bigint): string {
    const changed = translator ^ kvm;
    const names = FLAG_BITS.filter(([, bit]) => (changed >> BigInt(bit)) & 1n).map(([name]) => name.toUpperCase());
    return [...names, ...((changed & IOPL) !== 0n ? ['IOPL'] : [])].join(' ');
}

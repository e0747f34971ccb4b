/** What a user can hand to whoever mends a defect of Hyperscope's own. */
import type { DebugTarget } from '../debug/target';
import { hex } from './presentation';
import { describeError, type SessionLog } from './session-log';
import type { SessionContext } from './session-context';

/** Writes the report to a file, and says in the console that something has failed and where the report is. */
export async function reportDefect(
    error: unknown,
    session: Pick<SessionContext, 'guest' | 'emitEvent' | 'console'>,
    log: SessionLog,
): Promise<void> {
    const file = log.report(error, await describeGuest(session.guest?.target));
    const where = file === undefined ? '' : `A report with the log and the guest's state: ${file}\n`;
    session.emitEvent('output', {
        category: 'important',
        group: 'startCollapsed',
        output: `Hyperscope itself has failed; this is a defect. ${where}`,
    });
    session.console(`${describeError(error)}\n`, 'stderr');
    session.emitEvent('output', { category: 'important', group: 'end', output: '' });
}

/** Registers and stacks, as far as they can be had. */
async function describeGuest(target: DebugTarget | undefined): Promise<string[]> {
    const lines: string[] = [];
    for (let vcpu = 0; vcpu < (target?.vcpus ?? 0); vcpu++) {
        try {
            const frames = await target!.stack(vcpu);
            lines.push(`vCPU ${vcpu}`, ...frames.map(({ pc, symbol }) => `  ${hex(pc)} ${symbol ?? ''}`));
            for (const { name, registers } of await target!.registers(vcpu)) {
                lines.push(`  ${name}: ${registers.map(register => `${register.name}=${register.text}`).join(', ')}`);
            }
        } catch (error) {
            lines.push(`  cannot be read: ${describeError(error)}`);
        }
    }
    return lines;
}

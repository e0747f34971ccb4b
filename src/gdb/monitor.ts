/** gdb's `monitor` commands: what its own commands cannot ask of a whole machine. */
import { HyperscopeError } from '../common/errors';
import { pattern } from '../debug/expression/value';
import type { DebugTarget } from '../debug/target';
import { infoMemoryMap, infoRegisters } from './monitor-info';

type MonitorCommand = (args: readonly string[], vcpu: number) => Promise<string>;

const HELP = `help                    these lines
registers [GROUP]       registers of the current thread: general, flags, segments, control, debug, msrs, x87, sse
set REGISTER EXPRESSION writes a register, also those that gdb has no name for: ia32_lstar, dr7, gdtr.limit
info registers [-a]     registers as QEMU's monitor shows them; -a: of all vCPUs
info mtree [-f]         who answers to physical addresses, as QEMU's monitor shows it
walk EXPRESSION         page walk of a linear address
xp ADDRESS [BYTES]      physical memory
eval EXPRESSION         an expression of the debugger's own: registers, u32[address], symbols
exits                   what the guest has left its code for, counted
engine [NAME]           the engine that executes the guest; moves it to translator or kvm
reset                   the reset button
`;

const MOST_BYTES = 0x1000;
const MOST_EXITS = 20;
const ROW = 16;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

export class Monitor {
    constructor(private readonly target: DebugTarget) {}

    /** What the command has to say, lines ended. */
    async run(line: string, vcpu: number): Promise<string> {
        const [name = 'help', ...args] = line.trim().split(/\s+/).filter(Boolean);
        const command = Object.hasOwn(this.commands, name) ? this.commands[name] : undefined;
        if (command === undefined) {
            return `there is no command '${name}': monitor help lists them\n`;
        }
        try {
            return await command(args, vcpu);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            return `${error.message}\n`;
        }
    }

    private readonly commands: Readonly<Record<string, MonitorCommand>> = {
        help: async () => HELP,
        registers: ([group], vcpu) => this.registers(group, vcpu),
        set: ([name, ...value], vcpu) => this.write(name, value.join(' '), vcpu),
        info: (args, vcpu) => this.info(args, vcpu),
        walk: (args, vcpu) => this.walk(args.join(' '), vcpu),
        xp: ([address, bytes], vcpu) => this.physical(address, bytes, vcpu),
        eval: async (args, vcpu) => {
            const { value, symbol } = await this.target.evaluate(vcpu, args.join(' '), false);
            return `${hex(pattern(value))}${symbol === undefined ? '' : ` <${symbol}>`}\n`;
        },
        exits: () => this.exits(),
        engine: ([name]) => this.engine(name),
        reset: async () => {
            await this.target.reset();
            return 'the machine is at its first instruction: "flushregs" makes gdb see it\n';
        },
    };

    private async registers(wanted: string | undefined, vcpu: number): Promise<string> {
        const groups = await this.target.registers(vcpu);
        const chosen = groups.filter(
            ({ name }) => wanted === undefined || name.toLowerCase().startsWith(wanted.toLowerCase()),
        );
        if (chosen.length === 0) {
            return `there is no group '${wanted}': ${groups.map(({ name }) => name.toLowerCase()).join(', ')}\n`;
        }
        return chosen
            .map(({ name, registers }) => {
                const width = Math.max(...registers.map(register => register.name.length));
                const lines = registers.map(register => `  ${register.name.padEnd(width)}  ${register.text}\n`);
                return `${name}\n${lines.join('')}`;
            })
            .join('');
    }

    private async write(name: string | undefined, expression: string, vcpu: number): Promise<string> {
        if (name === undefined || expression === '') {
            return 'set takes a register and a value\n';
        }
        const { value } = await this.target.evaluate(vcpu, expression, false);
        const { text } = await this.target.writeRegister(vcpu, name.toLowerCase(), pattern(value));
        return `${name.toLowerCase()} ${text}\n`;
    }

    private async info([what, option]: readonly string[], vcpu: number): Promise<string> {
        if (what === 'mtree') return infoMemoryMap(this.target);
        if (what !== 'registers') return 'info takes registers or mtree\n';
        const all = Array.from({ length: this.target.vcpus }, (_, index) => index);
        return infoRegisters(this.target, option === '-a' ? all : [vcpu]);
    }

    private async walk(expression: string, vcpu: number): Promise<string> {
        if (expression === '') {
            return 'walk takes a linear address\n';
        }
        const linear = pattern((await this.target.evaluate(vcpu, expression, false)).value);
        const { walk, problem } = await this.target.translate(vcpu, linear);
        const levels = (walk?.levels ?? []).map(
            ({ structure, index, address, entry }) =>
                `  ${structure.toUpperCase()}[${hex(index)}] = ${hex(entry)}` +
                `${address === undefined ? '' : `, at ${hex(address)}`}\n`,
        );
        const mapping = walk?.mapping;
        const result =
            mapping === undefined
                ? `  ${problem ?? 'not mapped'}\n`
                : `  → ${hex(mapping.physical)}, page of ${mapping.pageSize / 1024} KiB, ` +
                  `${mapping.user ? 'user' : 'supervisor'} r${mapping.writable ? 'w' : '-'}` +
                  `${mapping.executable ? 'x' : '-'}\n`;
        return `${hex(linear)}\n${levels.join('')}${result}`;
    }

    private async physical(address: string | undefined, count: string | undefined, vcpu: number): Promise<string> {
        const length = Number(count ?? 64);
        if (address === undefined || !(length >= 1 && length <= MOST_BYTES)) {
            return `xp takes a physical address and a number of bytes up to ${MOST_BYTES}\n`;
        }
        const offset = pattern((await this.target.evaluate(vcpu, address, false)).value);
        const bytes = await this.target.readMemory(vcpu, { space: 'physical', offset }, Math.floor(length));
        if (bytes.length === 0) {
            return `there is no memory at physical ${hex(offset)}\n`;
        }
        let text = '';
        for (let at = 0; at < bytes.length; at += ROW) {
            const row = [...bytes.subarray(at, at + ROW)];
            const digits = row.map(byte => byte.toString(16).padStart(2, '0')).join(' ');
            const letters = row.map(byte => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
            const place = (offset + BigInt(at)).toString(16).padStart(16, '0');
            text += `${place}  ${digits.padEnd(3 * ROW - 1)}  ${letters}\n`;
        }
        return text;
    }

    private async exits(): Promise<string> {
        const { events } = this.target;
        if (events === undefined) {
            return 'this target tells of no exits\n';
        }
        const { rows, total } = await events.summary('cause', {}, 'count', MOST_EXITS);
        const lines = rows.map(
            ({ count, label, causeText }) => `${String(count).padStart(12)}  ${label} ${causeText}`.trimEnd() + '\n',
        );
        return `${String(total).padStart(12)}  in all\n${lines.join('')}`;
    }

    private async engine(name: string | undefined): Promise<string> {
        const { target } = this;
        const engines = (await target.engines?.()) ?? [];
        if (name === undefined) {
            return (
                engines
                    .map(({ name: one, active, problem }) => {
                        const state = active ? 'active' : (problem ?? 'can take over');
                        return `${one}: ${state}\n`;
                    })
                    .join('') || 'the guest is executed elsewhere\n'
            );
        }
        const wanted = engines.find(engine => engine.name === name);
        if (wanted === undefined || target.switchEngine === undefined) {
            return `there is no engine '${name}' for this guest\n`;
        }
        return `${(await target.switchEngine(wanted.name)) ?? `${name} executes the guest now`}\n`;
    }
}

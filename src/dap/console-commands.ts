/**
 * Commands of the debug console that are no expressions: a first word, what it does, and what may follow it. `help` lists
 * them.
 */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { Activity } from './activity';
import { RequestError } from './request-error';

/** One thing that a command does: `linux ps`. */
export interface Subcommand {
    readonly name: string;
    /** What it takes: `PID`, `[LINES]`. */
    readonly takes?: string;
    /** One line. */
    readonly help: string;
    run(words: readonly string[], activity: Activity): Promise<string>;
}

export interface ConsoleCommand {
    readonly name: string;
    readonly help: string;
    readonly subcommands: readonly Subcommand[];
}

export class ConsoleCommands {
    constructor(private readonly commands: readonly ConsoleCommand[]) {}

    /**
     * What a line does, if it is a command.
     * @throws HyperscopeError where the command says so
     */
    run(line: string, activity: Activity): Promise<string> | undefined {
        const [first, second, ...words] = line.trim().split(/\s+/);
        if (first === 'help' && second === undefined) {
            return Promise.resolve(this.overview());
        }
        const command = this.commands.find(({ name }) => name === first);
        if (command === undefined) {
            return undefined;
        }
        if (second === undefined || second === 'help') {
            return Promise.resolve(helpOf(command));
        }
        const subcommand = command.subcommands.find(({ name }) => name === second);
        if (subcommand === undefined) {
            throw new RequestError(`'${first} ${second}' is no command. ${helpOf(command)}`);
        }
        const most = (subcommand.takes ?? '').split(' ').filter(Boolean).length;
        const least = (subcommand.takes ?? '').split(' ').filter(word => word !== '' && !word.startsWith('[')).length;
        if (words.length < least || words.length > most) {
            throw new RequestError(`this is written: ${usage(command, subcommand)}`);
        }
        return subcommand.run(words, activity);
    }

    /** What may stand at the end of a line, which begins a command; nothing if it is none. */
    complete(line: string): DebugProtocol.CompletionItem[] {
        const [, first, gap, second] = /^\s*(\S*)(\s*)(\S*)$/.exec(line) ?? [];
        if (first === undefined || first === '') {
            return [];
        }
        const item = (label: string, typed: string, detail: string): DebugProtocol.CompletionItem => ({
            ...{ label, detail, type: 'keyword' },
            start: line.length - typed.length,
            length: typed.length,
        });
        if (gap === '') {
            return [...this.commands, { name: 'help', help: 'lists what the console does' }]
                .filter(({ name }) => name.startsWith(first))
                .map(({ name, help }) => item(name, first, help));
        }
        const command = this.commands.find(({ name }) => name === first);
        return (command?.subcommands ?? [])
            .filter(({ name }) => name.startsWith(second))
            .map(({ name, help }) => item(name, second, help));
    }

    private overview(): string {
        const lines = this.commands.map(({ name, help }) => `${name.padEnd(8)}${help}`);
        return [
            'An expression shows its value, an assignment changes it: rip, *(u32*)(rsp + 8), rax = 0.',
            'With ,x behind it its number is hexadecimal, with ,d decimal, with ,b binary: flags,x.',
            ...lines,
            ...this.commands.map(helpOf),
        ].join('\n');
    }
}

function usage({ name }: ConsoleCommand, { name: sub, takes }: Subcommand): string {
    return `${name} ${sub}${takes === undefined ? '' : ` ${takes}`}`;
}

function helpOf(command: ConsoleCommand): string {
    const lines = command.subcommands.map(
        subcommand => `  ${usage(command, subcommand).padEnd(26)}  ${subcommand.help}`,
    );
    return [`${command.name} can do this:`, ...lines].join('\n');
}

/** Rows in columns as wide as what they hold; the last one is not padded. */
export function columns(heads: readonly string[], rows: ReadonlyArray<readonly string[]>, mostWidth = 60): string {
    const widths = heads.map((head, column) =>
        Math.min(mostWidth, Math.max(head.length, ...rows.slice(0, 5000).map(row => (row[column] ?? '').length))),
    );
    const line = (cells: readonly string[]): string =>
        cells
            .map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column])))
            .join('  ')
            .trimEnd();
    return [line(heads), ...rows.map(line)].join('\n');
}

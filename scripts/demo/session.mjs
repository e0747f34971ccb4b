/** A debug session as the demonstration sees it: what it asks the adapter for, and how that is printed. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DapClient, RefusedError } from './dap-client.mjs';

const THREAD = 1;
const RULE_WIDTH = 100;

const colourful = process.stdout.isTTY === true && !process.env.NO_COLOR;
const paint = code => text => (colourful ? `\x1b[${code}m${text}\x1b[0m` : text);
const bold = paint('1');
const dim = paint('2');
const green = paint('32');
const cyan = paint('36');
const yellow = paint('33');

const hexOf = value => `0x${BigInt(value).toString(16)}`;

/** Not every target can tell everything: its refusal is the answer then. */
function asUnavailable(error) {
    if (!(error instanceof RefusedError)) throw error;
    return { unavailable: error.message };
}

export class DemoSession {
    /** What the guest has printed and was not shown yet. */
    #guestLine = '';
    #ended;
    capabilities = {};

    /** @param {string[]} adapter the adapter's program and arguments */
    constructor(adapter) {
        this.client = new DapClient(adapter);
        this.client.on('output', ({ category, output }) => this.#output(category, output));
        this.client.on('exited', ({ exitCode }) => (this.exitCode = exitCode));
        this.client.on('terminated', () => (this.#ended = true));
    }

    /** True once the guest is gone. */
    get ended() {
        return this.#ended === true;
    }

    // ---- what is asked ---------------------------------------------------------------------------------------------

    request(command, args) {
        return this.client.request(command, args);
    }

    /** Starts the guest; it stands at its first instruction then. */
    async launch(attributes) {
        this.capabilities = await this.request('initialize', {
            clientID: 'demo',
            adapterID: 'hyperscope',
            supportsMemoryReferences: true,
        });
        const initialized = this.client.next('initialized');
        await this.request('launch', { stopOnEntry: true, ...attributes });
        await initialized;
        return this.run('configurationDone');
    }

    /** Asks for something that makes the guest run; the stop that follows, or the end as `{name: 'terminated'}`. */
    async run(command, args = {}) {
        const stopped = this.client.next('stopped', 'terminated');
        const [stop] = await Promise.all([stopped, this.request(command, { threadId: THREAD, ...args })]);
        this.#flushGuest();
        return stop;
    }

    async breakAt(...breakpoints) {
        const body = await this.request('setFunctionBreakpoints', { breakpoints });
        body.breakpoints.forEach(({ verified, message, instructionReference }, index) => {
            const { name, condition } = breakpoints[index];
            const where = verified ? `at ${instructionReference}` : message;
            this.say(`breakpoint ${bold(name)}${condition ? `, if ${bold(condition)}` : ''} ${dim(where)}`);
        });
    }

    /** Stops at accesses to these variables, and to no others. */
    async watch(...watched) {
        const breakpoints = [];
        for (const { name, ...more } of watched) {
            const { dataId, description } = await this.request('dataBreakpointInfo', { name });
            this.say(
                `data breakpoint ${bold(name)}${more.condition ? `, if ${bold(more.condition)}` : ''} ${dim(description)}`,
            );
            if (dataId !== null) breakpoints.push({ dataId, ...more });
        }
        await this.request('setDataBreakpoints', { breakpoints });
    }

    /** Breaks at the first line of a file that holds `text`; takes the file's other breakpoints away. */
    async breakAtLine(file, text) {
        const line =
            readFileSync(file, 'utf8')
                .split('\n')
                .findIndex(content => content.includes(text)) + 1;
        const { breakpoints } = await this.request('setBreakpoints', {
            source: { name: path.basename(file), path: file },
            breakpoints: [{ line }],
        });
        const [{ verified, message, line: placed = line }] = breakpoints;
        this.say(`breakpoint ${bold(`${path.basename(file)}:${placed}`)} ${dim(verified ? '' : message)}`);
    }

    async clearLines(file) {
        await this.request('setBreakpoints', { source: { path: file }, breakpoints: [] });
    }

    async evaluate(expression) {
        const { result } = await this.request('evaluate', { expression, context: 'watch' });
        return result;
    }

    /** The number that an expression has. */
    async number(expression) {
        return BigInt((await this.evaluate(expression)).split(' ')[0]);
    }

    async frames() {
        const { stackFrames } = await this.request('stackTrace', { threadId: THREAD });
        return stackFrames;
    }

    // ---- what is printed -------------------------------------------------------------------------------------------

    say(text = '') {
        console.log(text === '' ? '' : `  ${text}`);
    }

    title(text) {
        console.log(`\n${bold(cyan(`── ${text} ${'─'.repeat(Math.max(0, RULE_WIDTH - text.length - 4))}`))}`);
    }

    /** Why it stopped, and where. */
    async showStop(stop) {
        if (stop.name === 'terminated') {
            this.say('the guest has ended');
            return;
        }
        const { description, reason, text } = stop;
        this.say(`${yellow('stopped')}: ${text ?? description ?? reason}`);
        await this.showInstructions(1);
        await this.showSource();
    }

    /** The line that the top frame is at, with its neighbours; nothing without debug information. */
    async showSource() {
        const [top] = await this.frames();
        if (top?.source?.path === undefined || !(top.line > 0) || !existsSync(top.source.path)) return;
        const lines = readFileSync(top.source.path, 'utf8').split('\n');
        for (let line = Math.max(1, top.line - 1); line <= Math.min(lines.length, top.line + 1); line++) {
            const mark = line === top.line ? green('▶') : ' ';
            this.say(`${mark} ${dim(`${top.source.name}:${line}`.padEnd(18))} ${lines[line - 1]}`);
        }
    }

    async showInstructions(count) {
        const pc = hexOf(await this.number('pc'));
        const { instructions } = await this.request('disassemble', {
            memoryReference: pc,
            instructionCount: count,
            resolveSymbols: true,
        });
        for (const { address, instructionBytes = '', instruction, symbol } of instructions) {
            const mark = BigInt(address) === BigInt(pc) ? green('▶') : ' ';
            const place = address.padEnd(18);
            this.say(`${mark} ${place} ${dim(instructionBytes.padEnd(24))} ${instruction}  ${dim(symbol ?? '')}`);
        }
    }

    async showStack() {
        const frames = await this.frames();
        for (const [depth, { name, instructionPointerReference, source, line }] of frames.entries()) {
            // Without debug information, sources are listings that the adapter makes.
            const place = source?.path && line > 0 ? `${path.basename(source.path)}:${line}` : '';
            this.say(`#${String(depth).padEnd(2)} ${instructionPointerReference.padEnd(18)} ${name}  ${dim(place)}`);
        }
    }

    /** The variables of the top frame's scopes whose names match; nothing without such scopes. */
    async showScope(pattern, wanted = () => true, columns = 1) {
        const [{ id: frameId }] = await this.frames();
        const { scopes } = await this.request('scopes', { frameId });
        const cells = [];
        for (const { name, variablesReference } of scopes) {
            if (!pattern.test(name)) continue;
            const { variables } = await this.request('variables', { variablesReference });
            cells.push(
                ...variables.filter(wanted).map(({ name: label, value }) => `${bold(label.padEnd(6))} ${value}`),
            );
        }
        for (let i = 0; i < cells.length; i += columns) {
            const row = cells.slice(i, i + columns);
            this.say(row.map((cell, n) => (n < row.length - 1 ? cell.padEnd(34 + bold('').length) : cell)).join('  '));
        }
        return cells.length > 0;
    }

    async showRegisters(...names) {
        for (let i = 0; i < names.length; i += 3) {
            const cells = names.slice(i, i + 3).map(async name => {
                const value = await this.evaluate(name);
                return `${bold(name.padEnd(6))} ${value.replace(/ \(-?\d+\)$/, '')}`;
            });
            this.say((await Promise.all(cells)).map(cell => cell.padEnd(30 + bold('').length)).join(' '));
        }
    }

    /** How the page tables lead to an address, or why they do not. */
    async showWalk(address, access = 'read') {
        const walk = await this.request('hyperscope/pageWalk', { address, access });
        this.say(`${access} ${bold(address)}${walk.linear === address ? '' : ` = ${walk.linear}`}, CR3 ${walk.cr3}`);
        for (const { structure, index, entry, bits, target, problem } of walk.steps) {
            const name = `${structure.toUpperCase().replace(/E$/, '')}[${index}]`;
            this.say(
                `  ${name.padEnd(10)} ${entry.padEnd(20)} ${bits}  ${target ? `→ ${target}` : ''}${problem ?? ''}`,
            );
        }
        const { mapping, fault } = walk;
        if (mapping !== undefined) {
            const { writable, user, executable } = mapping.permissions;
            const rights = `r${writable ? 'w' : '-'}${executable ? 'x' : '-'} ${user ? 'user' : 'supervisor'}`;
            this.say(`  physical ${bold(mapping.physical)}, ${rights}, page of ${mapping.pageSize / 1024} KiB`);
        }
        if (fault !== undefined) this.say(`  ${yellow(`${fault.name} (${fault.errorCodeBits})`)}: ${fault.reason}`);
    }

    async showMemory(reference, count) {
        const {
            address,
            data = '',
            unreadableBytes,
        } = await this.request('readMemory', {
            memoryReference: reference,
            count,
        });
        const bytes = Buffer.from(data, 'base64');
        const space = /^[a-z]+:/.exec(address)?.[0] ?? '';
        const start = BigInt(address.slice(space.length));
        for (let at = 0; at < bytes.length; at += 16) {
            const row = bytes.subarray(at, at + 16);
            const hex = [...row].map(byte => byte.toString(16).padStart(2, '0')).join(' ');
            const text = row.toString('latin1').replace(/[^ -~]/g, '.');
            this.say(`${(space + hexOf(start + BigInt(at))).padEnd(18)} ${hex.padEnd(47)}  ${dim(text)}`);
        }
        if (unreadableBytes) this.say(`${unreadableBytes} bytes after that cannot be read`);
    }

    /** The most frequent exits. */
    async showExits(limit) {
        const asked = this.request('hyperscope/vmExits', { summary: { group: 'cause', sort: 'count', limit } });
        const { total, summary, unavailable } = await asked.catch(asUnavailable);
        if (summary === undefined) {
            this.say(unavailable);
            return;
        }
        this.say(`${total} since the start; ${summary.totalRows} causes, the most frequent ones:`);
        for (const { label, causeText, count, last } of summary.rows) {
            const where = last?.symbol ?? last?.rip ?? '';
            this.say(`${String(count).padStart(8)}  ${label.padEnd(20)} ${causeText.padEnd(34)} ${dim(where)}`);
        }
    }

    #output(category, output) {
        if (category !== 'stdout') {
            this.say(dim(output.trimEnd()));
            return;
        }
        const lines = (this.#guestLine + output).split(/\r?\n/);
        this.#guestLine = lines.pop();
        lines.forEach(line => this.#printGuest(line));
    }

    #flushGuest() {
        if (this.#guestLine !== '') this.#printGuest(this.#guestLine);
        this.#guestLine = '';
    }

    #printGuest(line) {
        // What a guest prints may hold anything that a terminal would obey.
        console.log(`  ${dim('guest │')} ${line.replace(/[^\P{Cc}\t]/gu, '·')}`);
    }

    async close() {
        try {
            await this.request('disconnect', { terminateDebuggee: true });
        } catch (error) {
            if (!(error instanceof RefusedError) && !this.ended) throw error;
        }
        await this.client.close();
    }
}

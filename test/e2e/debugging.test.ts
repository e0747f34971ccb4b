/** What people do while they debug, by mouse and keyboard in a real VS Code: see extension.test.ts for the views. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Locator } from 'playwright-core';
import { projectRoot } from '../support/project';
import { needs, vsCode } from '../support/requirements';
import { packExtension, VsCode, waitFor } from './support/vscode';

const sample = (name: string): string => path.join(projectRoot, 'media', 'sample-guest', name);

const MAIN = readFileSync(sample('kernel/main.c'), 'utf8').split('\n');
/** Line of a text in main.c, from 1. */
const lineOf = (text: string): number => MAIN.findIndex(line => line.includes(text)) + 1;

function configuration(name: string, more: object): object {
    return {
        name,
        type: 'hyperscope',
        request: 'launch',
        kernel: '${workspaceFolder}/kernel.elf',
        memory: '64M',
        suppressMultipleSessionWarning: true,
        stopOnEntry: false,
        ...more,
    };
}

function launchFile(...configurations: object[]): string {
    return JSON.stringify({ version: '0.2.0', configurations }, undefined, 4);
}

describe('debugging in VS Code', function () {
    this.timeout(300_000);
    // The workbench draws when it likes: a click may meet what is about to go. What fails twice is broken.
    this.retries(1);
    let code: VsCode;
    const launchJson = (): string => code.file('.vscode/launch.json');

    before(async function () {
        needs(this, vsCode);
        const sources = readdirSync(sample('kernel')).map(name => `kernel/${name}`);
        const texts = sources.map(name => [name, readFileSync(sample(name), 'utf8')]);
        code = await VsCode.open(packExtension().file, Object.fromEntries(texts) as Record<string, string>);
        copyFileSync(sample('sample.elf'), code.file('kernel.elf'));
    });

    after(() => code?.close());

    afterEach(async function () {
        if (await code?.keepFailure(this.currentTest)) await code.recover();
    });

    const statusBar = (text: string | RegExp) => code.page.locator('.statusbar-item', { hasText: text }).first();
    /** The lines of the active editor that can be seen, with their numbers. */
    const numberedLines = async (): Promise<{ number: number; text: string }[]> => {
        const rowsOf = async (selector: string): Promise<{ y: number; text: string }[]> => {
            const rows = await code.page.locator(`.editor-group-container.active ${selector}`).all();
            return Promise.all(
                rows.map(async row => ({ y: (await row.boundingBox())?.y ?? -1, text: await row.innerText() })),
            );
        };
        const numbers = await rowsOf('.line-numbers');
        return (await rowsOf('.view-line'))
            .map(({ y, text }) => ({
                number: Number(numbers.find(number => Math.abs(number.y - y) < 2)?.text ?? 0),
                text,
            }))
            .sort((a, b) => a.number - b.number);
    };
    const callStack = (text: string) =>
        code.page.locator('.debug-call-stack .monaco-list-row', { hasText: text }).first();

    describe('without a launch.json', () => {
        it('offers the kernels of the folder', async () => {
            const debuggers = code.page.locator('.quick-input-list .monaco-list-row');
            await code.command('View: Show Run and Debug');
            await code.page.getByRole('button', { name: 'Run and Debug', exact: true }).click();
            await debuggers.filter({ hasText: 'Hyperscope' }).first().click();
            await code.stopped();
            await statusBar('translator').waitFor();
            await code.stop();
            await code.command('Debug: Select and Start Debugging');
            await debuggers.filter({ hasText: 'Hyperscope...' }).first().click();
            await debuggers.filter({ hasText: 'Debug kernel.elf' }).first().waitFor();
            await code.screenshot('dynamic-configurations');
            await code.page.keyboard.press('Escape');
        });

        it('makes one with a kernel of the folder, completes it and describes its attributes', async () => {
            await code.command('Debug: Add Configuration...');
            const entry = code.page.locator('.quick-input-list .monaco-list-row', { hasText: 'Hyperscope' }).first();
            await waitFor('launch.json is there', async () => {
                // It asks for the debugger unless one has been used already.
                if (await entry.isVisible()) await entry.click();
                return existsSync(launchJson());
            });
            await waitFor('it starts the kernel', () =>
                readFileSync(launchJson(), 'utf8').includes('${workspaceFolder}/kernel.elf'),
            );
            const suggestions = code.page.locator('.suggest-widget .monaco-list-row');
            await waitFor('snippets are offered', async () => {
                if (await suggestions.first().isVisible()) return true;
                await code.command('Debug: Add Configuration...');
                await code.page.waitForTimeout(1000);
                return suggestions.first().isVisible();
            });
            await code.page.keyboard.type('Hyperscope');
            for (const label of ['Linux kernel', 'ELF kernel', 'firmware']) {
                await suggestions.filter({ hasText: label }).first().waitFor();
            }
            await code.screenshot('snippets');
            await code.page.keyboard.press('Escape');
            await code.command('File: Revert File');
            await code.command('View: Close All Editors');
        });
    });

    describe('on the sample guest', () => {
        const SERVER_PORT = 47_931;

        before(async () => {
            const served = { debugServer: SERVER_PORT, kernel: code.file('kernel.elf'), append: 'monitor' };
            const file = launchFile(
                configuration('Kernel', {}),
                configuration('Monitor', { append: 'monitor' }),
                configuration('Served', served),
                { name: 'Left', type: 'hyperscope', request: 'attach', debugServer: SERVER_PORT },
            );
            mkdirSync(path.dirname(launchJson()), { recursive: true });
            writeFileSync(launchJson(), file);
            await code.open('main.c');
            await code.goToLine(lineOf('run_workload();'));
            await code.page.keyboard.press('F9');
            await code.command('View: Show Run and Debug');
        });

        /** The guest stopped where the workload begins, by a breakpoint in its source. */
        const atWorkload = async (): Promise<void> => {
            if (await code.page.locator('.debug-toolbar').isVisible()) await code.stop();
            await code.command('View: Close All Editors');
            await code.debug('Kernel');
            await code.stopped();
            await callStack('kernel_main').waitFor();
        };

        /** Watches an expression, unless it is watched already. */
        const watch = async (expression: string): Promise<void> => {
            await code.command('View: Show Run and Debug');
            const row = code.page.locator('.debug-watch .monaco-list-row', { hasText: expression }).first();
            if (await row.isVisible()) return;
            await code.page.locator('.pane-header[aria-label^="Watch"]').hover();
            await code.page.getByRole('button', { name: 'Add Expression' }).click();
            const input = code.page.locator('.debug-watch input');
            await input.fill(expression);
            await input.press('Enter');
            await row.waitFor();
        };

        it('restarts with a configuration that was edited', async () => {
            await code.command('View: Show Run and Debug');
            await atWorkload();
            const terminal = code.page.locator('.terminal-wrapper.active .xterm-rows');
            await waitFor('the guest tells its memory', async () => /64 MiB/.test(await terminal.innerText()));
            const edited = readFileSync(launchJson(), 'utf8').replaceAll('"64M"', '"96M"');
            writeFileSync(launchJson(), edited);
            // VS Code notices the file some time later.
            await waitFor('it has more memory now', async () => {
                await code.page.keyboard.press('Control+Shift+F5');
                return waitFor('it says so', async () => /96 MiB/.test(await terminal.innerText()), 10_000).then(
                    () => true,
                    () => false,
                );
            });
            await code.stopped();
            await callStack('kernel_main').waitFor();
        });

        it('moves on to a line, and changes watched expressions', async () => {
            await code.command('View: Show Run and Debug');
            await atWorkload();
            await watch('fast_system_calls');
            const watched = code.page.locator('.debug-watch .monaco-list-row', { hasText: 'fast_system_calls' });
            await waitFor('it has its value', async () => /true|1/.test(await watched.innerText()));
            await watched.click({ button: 'right' });
            await code.menu('Set Value');
            const input = code.page.locator('.debug-watch input');
            await input.fill('0');
            await input.press('Enter');
            await waitFor('it has another', async () => /false|\b0\b/.test(await watched.innerText()));
            await code.goToLine(lineOf('print("power off'));
            await code.command('Debug: Jump to Cursor');
            await callStack(`${lineOf('print("power off')}:`).waitFor();
            await code.screenshot('jumped');
        });

        it('has breakpoints with conditions and messages in a listing', async () => {
            await atWorkload();
            await code.command('Hyperscope: Show Disassembly');
            const position = code.page.locator('.statusbar-item', { hasText: /^Ln \d+,/ });
            await code.page.locator('.tab.active', { hasText: '.disasm' }).waitFor();
            const line = Number(/Ln (\d+)/.exec(await position.innerText())![1]);
            // Between instructions stand the source lines that they were compiled from.
            const instructions = (await numberedLines()).filter(
                row => row.number > line && row.text.startsWith('ffff'),
            );
            const widget = code.page.locator('.breakpoint-widget');
            for (const [offset, command, text] of [
                [0, 'Debug: Add Logpoint...', 'the stack is at {rsp}'],
                [1, 'Debug: Add Conditional Breakpoint...', 'rsp == 0'],
                [2, 'Debug: Add Conditional Breakpoint...', 'rsp != 0'],
            ] as const) {
                await code.goToLine(instructions[offset].number);
                await code.command(command);
                await widget.locator('.monaco-editor.focused').waitFor();
                await code.page.keyboard.type(text);
                // Suggestions would take the key that ends the input.
                await code.page.locator('.suggest-widget.visible').waitFor({ state: 'hidden' });
                await code.page.keyboard.press('Enter');
                await widget.waitFor({ state: 'hidden' });
            }
            await code.page.keyboard.press('F5');
            await waitFor(
                'it stops at the condition that holds',
                async () => (await code.page.locator('.debug-top-stack-frame-line').count()) > 0,
            );
            await code.screenshot('listing-breakpoints');
            await code.command('Debug: Focus on Debug Console View');
            await code.page
                .locator('.repl .monaco-list-row', { hasText: /the stack is at 0xf+8/ })
                .first()
                .waitFor();
            const disassembly = code.page.locator('.editor-group-container.active .view-line');
            assert.ok((await disassembly.count()) > 0);
        });

        it('shows exceptions as exceptions', async () => {
            await atWorkload();
            await code.command('Debug: Focus on Breakpoints View');
            const filter = code.page.locator('.debug-breakpoints .monaco-list-row', { hasText: '#PF page fault' });
            const list = code.page.locator('.debug-breakpoints .monaco-list');
            await list.hover();
            await code.page.mouse.wheel(0, 120);
            await filter.getByRole('checkbox').first().click();
            await code.page.keyboard.press('F5');
            const widget = code.page.locator('.exception-widget');
            await callStack('touch_lazy_memory').waitFor();
            await waitFor('it is shown', async () => {
                if (await widget.isVisible()) return true;
                // Not always at once, where the file had to be opened first.
                await callStack('touch_lazy_memory').click();
                return false;
            });
            assert.match(await widget.innerText(), /page fault/);
            await code.screenshot('exception');
            await filter.getByRole('checkbox').first().click();
        });

        it('saves memory to a file, loads it again, and records exits', async () => {
            await atWorkload();
            await code.command('Hyperscope: Save Memory to a File…');
            await code.answer('kernel_main', 'Save memory from');
            await code.answer('0x80', 'How many bytes?');
            const saved = code.file('saved.bin');
            rmSync(saved, { force: true }); // of an earlier try: VS Code would ask
            await code.answerFile('Save guest memory', saved);
            await waitFor('the memory is saved', () => existsSync(saved) && readFileSync(saved).length === 0x80);
            await code.command('Hyperscope: Load a File into Memory…');
            await code.answerFile('Load into guest memory', saved);
            await code.answer('rsp - 0x1000', 'Load to');
            await code.page.getByText('128 bytes were loaded').first().waitFor();
            const memory = await code.openPage('Memory');
            await waitFor('what was loaded is shown', async () =>
                (await memory.locator('.rows').innerText())
                    .replace(/\s/g, '')
                    .includes(Buffer.from(readFileSync(saved).subarray(0, 8)).reverse().toString('hex')),
            );
            const recorded = code.file('exits.vmexits');
            rmSync(recorded, { force: true });
            await code.command('Hyperscope: Record VM Exits to a File…');
            await code.answerFile('Record VM exits', recorded);
            await code.page.keyboard.press('F10');
            await waitFor('the guest goes on', () => existsSync(recorded));
            await code.stopped();
            await code.command('Hyperscope: Record VM Exits to a File…');
            await code.page
                .getByText(/VM exits were recorded to/)
                .first()
                .waitFor();
            assert.match(readFileSync(recorded, 'utf8'), /0x3f8/);
        });

        it('says who maps a page, and goes to an address', async () => {
            await atWorkload();
            const memory = await code.openPage('Memory');
            await code.command('Hyperscope: Go to Memory Address…');
            await code.answer('phys:0x100000', 'Go to');
            await waitFor('it is there', async () =>
                /^0*100000\b/.test(await memory.locator('.row').first().innerText()),
            );
            await memory.getByRole('button', { name: 'List what maps the page at the cursor' }).click();
            await memory.getByText(/\d mappings?/).waitFor();
            assert.ok((await memory.locator('.matches li').count()) > 0);
            await code.screenshot('who-maps');
        });

        it('goes on on another engine', async function () {
            await atWorkload();
            await code.command('Hyperscope: Continue on Another Engine…');
            const choices = code.page.locator('.quick-input-list .monaco-list-row');
            const kvm = choices.filter({ hasText: 'KVM' }).first();
            await kvm.waitFor();
            const unavailable = (await kvm.locator('.codicon-circle-slash').count()) > 0;
            await kvm.click();
            if (unavailable) return;
            await statusBar('KVM').waitFor();
            await code.page.keyboard.press('F10');
            await callStack(`${lineOf('run_workload();') + 1}:`).waitFor();
        });

        it('shows the registers of the last of many quick steps', async () => {
            await atWorkload();
            const names = ['rip', 'rsp', 'rcx'];
            for (const name of names) await watch(name);
            await code.openOnly('Registers');
            const registers = async (rows: Locator, pattern: RegExp): Promise<string> => {
                const texts = await rows.allInnerTexts();
                const found = texts.map(text => pattern.exec(text)).filter(match => match !== null);
                const values = new Map(found.map(([, name, value]) => [name, BigInt(value).toString(16)]));
                return names.map(name => `${name} ${values.get(name)}`).join(', ');
            };
            // VS Code's own, which asks for them itself.
            const watched = code.page.locator('.debug-watch .monaco-list-row');
            for (let round = 0; round < 3; round++) {
                for (let step = 0; step < 25; step++) await code.page.keyboard.press('F11');
                let [shown, asked] = ['', 'nothing'];
                // The last ones may be underway for some time. Ours asks for nothing when it is shown again: had it
                // missed the last stop, it would stay what it is.
                await waitFor('both show the same registers', async () => {
                    await code.stopped();
                    await code.command('Hyperscope: Focus on Registers View');
                    await code.rows('Registers').first().waitFor();
                    shown = await registers(code.rows('Registers'), /^(r\w+)\s*(0x[0-9a-f]+)/);
                    await code.command('View: Show Run and Debug');
                    await watched.first().waitFor();
                    asked = await registers(watched, /^(r\w+)\s*=\s*(0x[0-9a-f]+)/);
                    return shown === asked && !shown.includes('undefined');
                }).catch((error: Error) => assert.fail(`${error.message}: ${shown} is not ${asked}`));
            }
        });

        it('debugs two guests at once', async () => {
            await atWorkload();
            await code.debug('Monitor');
            const sessions = code.page.locator('.debug-call-stack .monaco-list-row .session');
            await waitFor('there are two', async () => (await sessions.count()) === 2);
            await code.openOnly('Registers');
            await code.screenshot('two-guests');
            await code.command('View: Show Run and Debug');
            // Either can be chosen, and the one that is left goes on.
            await code.page.keyboard.press('Shift+F5');
            await waitFor('one is left', async () => (await sessions.count()) <= 1);
            await statusBar('Paused at breakpoint').waitFor();
            await code.stop();
        });

        it('leaves a guest in an adapter that listens, and attaches to it again', async () => {
            const cli = path.join(projectRoot, 'dist', 'cli.js');
            const server = spawn(process.execPath, [cli, 'dap', '--listen', String(SERVER_PORT)], { stdio: 'pipe' });
            try {
                await new Promise(resolve => server.stderr.once('data', resolve));
                await code.command('Debug: Remove All Breakpoints');
                await code.debug('Served');
                const screen = code.page.locator('.terminal-wrapper.active .xterm-rows');
                await waitFor('its console is a terminal', async () => /^>/m.test(await screen.innerText()));
                // Beside the button that ends the guest.
                await code.page.locator('.debug-toolbar .monaco-dropdown-with-primary .codicon-chevron-down').click();
                await code.menu('Disconnect');
                await code.page.locator('.debug-toolbar').waitFor({ state: 'hidden' });
                await code.debug('Left');
                await code.page.locator('.debug-toolbar').waitFor();
                await code.page.keyboard.press('F6');
                await code.stopped();
                await code.page.locator('.debug-call-stack .stack-frame').first().waitFor();
                await code.screenshot('attached');
                await code.stop();
            } finally {
                server.kill();
            }
        });

        it('walks through its first steps', async () => {
            await code.command('Hyperscope: Open the Walkthrough');
            for (const step of ['Debug the sample guest', 'See the whole machine', 'Set a breakpoint']) {
                await code.page.locator('.getting-started-step', { hasText: step }).first().waitFor();
            }
            await code.screenshot('walkthrough');
            await code.page
                .locator('.gettingStartedContainer')
                .getByText('Debug the Sample Guest', { exact: true })
                .click();
            await code.stopped();
            await code.stop();
        });
    });

    describe('in odd orders', () => {
        before(async () => {
            mkdirSync(path.dirname(launchJson()), { recursive: true });
            writeFileSync(launchJson(), launchFile(configuration('Monitor', { append: 'monitor' })));
            await code.recover();
            await code.command('View: Close All Editors');
            await code.command('Debug: Remove All Breakpoints');
            // VS Code notices the file some time after it was written.
            await code.page.waitForTimeout(2000);
        });

        /** Runs the guest that waits for commands on its console, up to its prompt. */
        const atPrompt = async (): Promise<void> => {
            // What an earlier guest has said is not this one's.
            await code.command('Terminal: Kill All Terminals');
            await code.debug('Monitor');
            await code.command('Hyperscope: Show the Guest’s Serial Console');
            await prompted();
        };
        const prompted = async (): Promise<void> => {
            const screen = code.page.locator('.terminal-wrapper.active .xterm-rows');
            await waitFor('the guest asks for a command', async () => /^>\s*$/m.test(await screen.innerText()));
        };
        const paused = (): Promise<void> =>
            waitFor('the guest is paused', async () => {
                // While it restarts, there is nothing to pause.
                await code.page.keyboard.press('F6');
                const go = code.page.locator('.debug-toolbar .codicon-debug-continue');
                return go.waitFor({ timeout: 3000 }).then(
                    () => true,
                    () => false,
                );
            });
        const errors = () => code.page.locator('.notification-toast .codicon-error');

        it('restarts a guest that runs, also when it has only just begun', async () => {
            await atPrompt();
            for (let times = 0; times < 3; times++) await code.page.keyboard.press('Control+Shift+F5');
            await code.page.waitForTimeout(1000);
            await prompted();
            assert.equal(code.adapters().length, 1);
            await paused();
            await code.openOnly('Registers');
            assert.equal(await errors().count(), 0);
            await code.stop();
        });

        it('stops one that is only being launched, and starts it again', async () => {
            for (const delay of [0, 100, 400]) {
                await code.debug('Monitor');
                await code.page.waitForTimeout(delay);
                await code.page.keyboard.press('Shift+F5');
            }
            await waitFor('no adapter is left', async () => {
                // One that was not there yet goes on being launched.
                await code.page.keyboard.press('Shift+F5');
                await code.page.waitForTimeout(1000);
                return code.adapters().length === 0;
            });
            assert.equal(await errors().count(), 0);
            await atPrompt();
            await code.stop();
            await waitFor('no adapter is left', () => code.adapters().length === 0);
        });

        it('starts again after the adapter has died while the guest ran', async () => {
            await atPrompt();
            assert.equal(code.killAdapters(), 1);
            await code.page.getByText("Hyperscope's debug adapter has gone: it was ended by SIGKILL").first().waitFor();
            await code.page.locator('.debug-toolbar').waitFor({ state: 'hidden' });
            await code.command('Notifications: Clear All Notifications');
            await atPrompt();
            await paused();
            await code.openOnly('Registers');
            await code.rows('Registers').filter({ hasText: 'rip' }).first().waitFor();
            await code.stop();
        });
    });
});

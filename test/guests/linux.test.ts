/** Debian's unmodified kernel: by the command line as users run it, and in this process where more can be seen. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { type CliResult, runCli } from './support/cli';
import { BOOTED, INITRD, KERNEL, LinuxGuest, linuxFiles } from './support/linux';

const TIMEOUT_SECONDS = '200';

function busyboxDigest(): string {
    return createHash('sha256')
        .update(readFileSync(path.join(guestsDirectory, 'busybox')))
        .digest('hex');
}

describe('Debian kernel', function () {
    this.timeout(220_000);
    let folder: string;

    before(function () {
        needs(this, linuxFiles, guestFiles('busybox'));
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
    });
    after(() => {
        if (folder !== undefined) {
            rmSync(folder, { recursive: true });
        }
    });

    const boot = (cpus: number, command: string): Promise<CliResult> =>
        runCli([
            ...['run', '--kernel', KERNEL, '--initrd', INITRD, '--cpus', String(cpus)],
            ...['--append', `console=ttyS0 hs.cmd=${encodeURIComponent(command)}`],
            ...['--timeout', TIMEOUT_SECONDS, '--stats', path.join(folder, `stats-${cpus}.json`)],
        ]);
    let booted: Promise<CliResult> | undefined;
    /** One boot that serves two tests. */
    const bootOnce = (): Promise<CliResult> => (booted ??= boot(1, command));
    const command = 'nproc; expr 6 \\* 7; sha256sum /bin/busybox';

    it('boots to a command and powers off', async () => {
        const { status, output, errors } = await bootOnce();

        assert.match(output, new RegExp(`${BOOTED}\\r\\n`), errors);
        for (const line of ['1', '42', `${busyboxDigest()}  /bin/busybox`, 'HYPERSCOPE-CMD-DONE 0']) {
            assert.ok(output.includes(`\n${line}\r\n`), `'${line}' in:\n${output.slice(-2000)}`);
        }
        assert.match(output, /reboot: Power down/);
        assert.equal(status, 0);
        assert.equal(errors, '');
    });

    it('tells where its time went', async () => {
        const { status, errors } = await bootOnce();
        assert.equal(status, 0, errors);
        const statistics = JSON.parse(readFileSync(path.join(folder, 'stats-1.json'), 'utf8')) as {
            readonly interpretedShare: number;
            readonly timeShares: Readonly<Record<'interpreter' | 'regions' | 'outside', number>>;
        };
        const { interpreter, regions, outside } = statistics.timeShares;
        assert.ok(interpreter > 0 && regions > 0 && outside > 0, JSON.stringify(statistics.timeShares));
        assert.ok(Math.abs(interpreter + regions + outside - 1) < 1e-6);
        // Most instructions of a boot are executed in regions, in less time each.
        assert.ok(statistics.interpretedShare < 0.5);
        assert.ok(interpreter / statistics.interpretedShare > regions / (1 - statistics.interpretedShare));
    });

    it('does the same again, to the instruction, however its run is cut into pieces', async () => {
        const { status, errors } = await bootOnce();
        assert.equal(status, 0, errors);
        const { instructions, stateHash } = JSON.parse(readFileSync(path.join(folder, 'stats-1.json'), 'utf8')) as {
            readonly instructions: number;
            readonly stateHash: string;
        };
        const guest = new LinuxGuest({ commandLine: `console=ttyS0 hs.cmd=${encodeURIComponent(command)}` });

        assert.deepEqual(guest.runToEnd(7_654_321), { reason: 'poweredOff' });
        assert.equal(guest.machine.engine.retired(), instructions);
        assert.equal(guest.machine.stateHash(), stateHash);
    });

    it('boots on two vCPUs', async () => {
        const { status, output, errors } = await boot(2, 'nproc; grep -c ^processor /proc/cpuinfo');

        assert.match(output, new RegExp(`${BOOTED}\\r\\n`), errors);
        assert.match(output, /\r\n2\r\n2\r\nHYPERSCOPE-CMD-DONE 0\r\n/);
        assert.equal(status, 0);
    });

    it('takes as many instructions to its first lines without translation as with it', () => {
        const marker = 'Command line: ';
        const counts = [true, false].map(translate => {
            const guest = new LinuxGuest({ commandLine: 'console=ttyS0 earlyprintk=serial', translate });
            guest.runUntil(marker);
            return guest.instructionsAt(marker);
        });

        assert.equal(counts[1], counts[0]);
    });

    it('starts from its 32-bit entry', () => {
        const guest = new LinuxGuest({ commandLine: 'console=ttyS0 earlyprintk=serial', entry: '32-bit' });

        guest.runUntil('Command line: console=ttyS0 earlyprintk=serial');
    });
});

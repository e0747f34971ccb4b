/** A booted Linux is saved, and continues in another machine. */
import assert from 'node:assert/strict';
import { needs } from '../support/requirements';
import { LinuxGuest, linuxFiles } from './support/linux';

const PROMPT = '/ # ';

describe('saved state of a booted Linux', function () {
    this.timeout(220_000);

    before(function () {
        needs(this, linuxFiles);
    });

    it('continues at its shell prompt in another machine, to the same state', () => {
        const options = { commandLine: 'console=ttyS0 hs.shell', cpus: 2 };
        const guest = new LinuxGuest(options);
        guest.runUntil(PROMPT);
        const hash = guest.machine.stateHash();
        const instructions = guest.machine.engine.retired();
        const file = Buffer.concat([...guest.machine.saveState()]);

        assert.equal(guest.machine.stateHash(), hash, 'saving changes nothing');

        const copy = new LinuxGuest(options);
        copy.machine.restoreState(file);

        assert.equal(copy.machine.stateHash(), hash);
        assert.equal(copy.machine.engine.retired(), instructions);
        for (const { machine } of [guest, copy]) {
            machine.sendSerial(0, new TextEncoder().encode('expr 6 \\* 7; uname -s\n'));
            machine.run({ instructions: 30_000_000 });
        }
        assert.match(copy.console, /\r\n42\r\nLinux\r\n\/ # /);
        assert.ok(guest.console.endsWith(copy.console));
        assert.equal(copy.machine.engine.retired(), guest.machine.engine.retired());
        assert.equal(copy.machine.stateHash(), guest.machine.stateHash());
    });
});

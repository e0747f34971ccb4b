import assert from 'node:assert/strict';
import { I8042 } from '../../../src/devices/i8042';
import { Ps2Keyboard } from '../../../src/devices/ps2/ps2-keyboard';
import { MouseButton, Ps2Mouse } from '../../../src/devices/ps2/ps2-mouse';
import { FakeClock, FakeLine } from './fake-clock';
import { assertRefusesForeignRecords } from './fixtures';

const millisecond = 1_000_000;

function build() {
    const clock = new FakeClock();
    const [keyboardIrq, mouseIrq] = [new FakeLine(), new FakeLine()];
    const log: string[] = [];
    const keyboard = new Ps2Keyboard('keyboard', { clock, leds: lights => log.push(`leds ${lights}`) });
    const mouse = new Ps2Mouse('mouse', { clock });
    const controller = new I8042('i8042', {
        clock,
        keyboard,
        mouse,
        keyboardIrq,
        mouseIrq,
        setA20: enabled => log.push(`a20 ${enabled}`),
        reset: () => log.push('reset'),
    });
    const status = () => controller.command.read(0, 1);
    const data = () => controller.data.read(0, 1);
    const command = (value: number) => controller.command.write(0, 1, value);
    const write = (value: number) => controller.data.write(0, 1, value);
    /** Polls as drivers do, for at most `timeout` ns. */
    const poll = (timeout = 20 * millisecond): number => {
        for (let waited = 0; waited < timeout && (status() & 1) === 0; waited += 50_000) {
            clock.advance(50_000);
        }
        assert.equal(status() & 1, 1, 'the output buffer stays empty');
        return data();
    };
    const all = (): number[] => {
        const bytes: number[] = [];
        for (clock.advance(millisecond); status() & 1; clock.advance(millisecond)) {
            bytes.push(data());
        }
        return bytes;
    };
    const mouseCommand = (...bytes: number[]): number[] => {
        for (const byte of bytes) {
            command(0xd4);
            write(byte);
        }
        return all();
    };
    const devices = [keyboard, mouse, controller];
    return {
        clock,
        keyboardIrq,
        mouseIrq,
        log,
        keyboard,
        mouse,
        controller,
        devices,
        status,
        data,
        command,
        write,
        poll,
        all,
        mouseCommand,
    };
}

describe('i8042 keyboard controller', () => {
    it('goes through the initialization that SeaBIOS does', () => {
        const { status, command, write, poll } = build();
        command(0xad);
        command(0xa7);
        assert.equal(status() & 1, 0);
        command(0xaa);
        assert.equal(poll(), 0x55);
        assert.equal(status() & 4, 4);
        command(0xab);
        assert.equal(poll(), 0x00);
        write(0xff);
        assert.equal(poll(), 0xfa);
        assert.equal(poll(), 0xaa);
        write(0xf5);
        assert.equal(poll(), 0xfa);
        write(0xf0);
        assert.equal(poll(), 0xfa);
        write(0x02);
        assert.equal(poll(), 0xfa);
        command(0x60);
        write(0x61);
        write(0xf4);
        assert.equal(poll(), 0xfa);
        command(0x20);
        assert.equal(poll(), 0x61);
    });

    it('goes through the probing that Linux does: flush, command byte, AUX loop, AUX interrupt', () => {
        const { status, command, write, poll, mouseIrq, clock } = build();
        assert.equal(status() & 1, 0);
        command(0x20);
        const initial = poll();
        command(0x60);
        write((initial | 0x30) & ~0x03);
        // The loop must come back as mouse data, or there is no AUX port.
        command(0xd3);
        write(0x5a);
        assert.equal(status() & 0x21, 0x21);
        assert.equal(poll(), 0x5a);
        // A multiplexing controller would answer 0xF0, 0x56, 0xA4 with its version.
        for (const byte of [0xf0, 0x56, 0xa4]) {
            command(0xd3);
            write(byte);
            assert.equal(poll(), byte);
        }
        for (const [toggle, disabled] of [
            [0xa7, 0x20],
            [0xa8, 0x00],
        ]) {
            command(toggle);
            command(0x20);
            assert.equal(poll() & 0x20, disabled);
        }
        command(0x60);
        write(0x02);
        command(0xd3);
        write(0xa5);
        clock.advance(millisecond);
        assert.equal(mouseIrq.edges, 1);
        assert.equal(poll(), 0xa5);
        assert.equal(mouseIrq.asserted, false);
    });

    it('translates set 2 to set 1 and interrupts once a byte', () => {
        const { keyboard, keyboardIrq, all } = build();
        keyboard.key('KeyA', true);
        keyboard.key('KeyA', false);
        keyboard.key('ArrowUp', true);
        keyboard.key('ArrowUp', false);
        assert.deepEqual(all(), [0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8]);
        assert.equal(keyboardIrq.edges, 6);
        assert.equal(keyboardIrq.asserted, false);
    });

    it('passes set 2 through without translation', () => {
        const { command, write, keyboard, all } = build();
        command(0x60);
        write(0x01);
        keyboard.key('F7', true);
        keyboard.key('F7', false);
        assert.deepEqual(all(), [0x83, 0xf0, 0x83]);
    });

    it('sends the long codes of Pause and Print Screen, and SysRq with Alt', () => {
        const { keyboard, all } = build();
        const press = (key: string) => {
            keyboard.key(key, true);
            keyboard.key(key, false);
            return all();
        };
        assert.deepEqual(press('Pause'), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
        assert.deepEqual(press('PrintScreen'), [0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa]);
        keyboard.key('AltLeft', true);
        assert.deepEqual(all(), [0x38]);
        assert.deepEqual(press('PrintScreen'), [0x54, 0xd4]);
    });

    it('answers the identification as translated, and scan code set queries as 0x43, 0x41', () => {
        const { write, all } = build();
        write(0xf2);
        assert.deepEqual(all(), [0xfa, 0xab, 0x41]);
        write(0xf0);
        write(0x00);
        assert.deepEqual(all(), [0xfa, 0xfa, 0x41]);
        write(0xf0);
        write(0x01);
        write(0xf0);
        write(0x00);
        assert.deepEqual(all(), [0xfa, 0xfa, 0xfa, 0xfa, 0x43]);
        write(0xf0);
        write(0x03);
        assert.deepEqual(all(), [0xfa, 0xfe]);
    });

    it('carries out the keyboard commands', () => {
        const { write, all, log } = build();
        write(0xee);
        assert.deepEqual(all(), [0xee]);
        write(0xed);
        write(0x05);
        assert.deepEqual(all(), [0xfa, 0xfa]);
        assert.deepEqual(log, ['leds 5']);
        write(0xf3);
        write(0x00);
        assert.deepEqual(all(), [0xfa, 0xfa]);
        write(0xfe);
        assert.deepEqual(all(), [0xfa]);
        write(0x01);
        assert.deepEqual(all(), [0xfe]);
        write(0xff);
        assert.deepEqual(all(), [0xfa, 0xaa]);
        assert.deepEqual(log, ['leds 5', 'leds 0']);
    });

    it('takes a command in place of the argument that was due', () => {
        const { write, all, log } = build();
        write(0xed);
        write(0xf4);
        assert.deepEqual(all(), [0xfa, 0xfa]);
        assert.deepEqual(log, []);
    });

    it('keeps keys back while scanning or the interface is disabled', () => {
        const { write, command, keyboard, all } = build();
        write(0xf5);
        assert.deepEqual(all(), [0xfa]);
        keyboard.key('KeyA', true);
        keyboard.key('KeyA', false);
        assert.deepEqual(all(), []);
        write(0xf4);
        assert.deepEqual(all(), [0xfa]);
        command(0xad);
        keyboard.key('KeyB', true);
        assert.deepEqual(all(), []);
        command(0xae);
        assert.deepEqual(all(), [0x30]);
    });

    it('repeats the key held last, at the rate that the guest set', () => {
        const { write, keyboard, clock, all, data, status } = build();
        write(0xf3);
        write(0x00);
        assert.deepEqual(all(), [0xfa, 0xfa]);
        keyboard.key('KeyA', true);
        assert.deepEqual(all(), [0x1e]);
        clock.advance(200 * millisecond);
        assert.equal(status() & 1, 0);
        let count = 0;
        for (let ms = 0; ms < 1000; ms++) {
            clock.advance(millisecond);
            if (status() & 1) {
                assert.equal(data(), 0x1e);
                count++;
            }
        }
        assert.ok(count >= 28 && count <= 30, `${count} repetitions in a second at 30/s`);
        keyboard.key('KeyA', false);
        assert.deepEqual(all(), [0x9e]);
        clock.advance(2000 * millisecond);
        assert.equal(status() & 1, 0);
    });

    it('says once that its buffer overran and goes on when the guest has read it', () => {
        const { keyboard, all, write, command } = build();
        command(0x60);
        write(0x00);
        command(0xad);
        for (const key of ['KeyA', 'KeyB', 'KeyC', 'KeyD', 'KeyE', 'KeyF']) {
            keyboard.key(key, true);
            keyboard.key(key, false);
        }
        command(0xae);
        const bytes = all();
        assert.equal(bytes.at(-1), 0x00);
        assert.equal(bytes.filter(byte => byte === 0).length, 1);
        keyboard.key('KeyZ', true);
        assert.deepEqual(all(), [0x1a]);
    });

    it('knows no key of an unknown name', () => {
        const { keyboard, all } = build();
        assert.equal(keyboard.key('toString', true), false);
        assert.deepEqual(all(), []);
    });

    it('drives A20 and the reset line', () => {
        const { command, write, poll, log } = build();
        command(0xd0);
        assert.equal(poll() & 3, 3);
        command(0xd1);
        write(0xdd);
        command(0xd0);
        assert.equal(poll() & 3, 1);
        command(0xdf);
        command(0xff);
        command(0xfe);
        command(0xd1);
        write(0x02);
        assert.deepEqual(log, ['a20 false', 'a20 true', 'reset', 'a20 true', 'reset']);
    });

    it('keeps its RAM and lets no unassigned command disturb it', () => {
        const { command, write, poll, status } = build();
        command(0x7f);
        write(0xa5);
        command(0x3f);
        assert.equal(poll(), 0xa5);
        for (let value = 0x80; value < 0xa4; value++) {
            command(value);
        }
        assert.equal(status() & 1, 0);
    });

    it('holds no more than a few results for a guest that never reads', () => {
        const { command, controller } = build();
        for (let count = 0; count < 1000; count++) {
            command(0x20);
        }
        assert.ok((controller.save().fields['results'] as Uint8Array).length <= 16);
    });
});

describe('PS/2 mouse', () => {
    it('resets, identifies and becomes a wheel mouse, then one with five buttons', () => {
        const { mouseCommand } = build();
        assert.deepEqual(mouseCommand(0xff), [0xfa, 0xaa, 0x00]);
        assert.deepEqual(mouseCommand(0xf2), [0xfa, 0x00]);
        assert.deepEqual(mouseCommand(0xf3, 200, 0xf3, 100, 0xf3, 80), new Array(6).fill(0xfa));
        assert.deepEqual(mouseCommand(0xf2), [0xfa, 0x03]);
        assert.deepEqual(mouseCommand(0xf3, 200, 0xf3, 200, 0xf3, 80), new Array(6).fill(0xfa));
        assert.deepEqual(mouseCommand(0xf2), [0xfa, 0x04]);
        assert.deepEqual(mouseCommand(0xff), [0xfa, 0xaa, 0x00]);
    });

    it('streams movement in packets, the rest of a long way in the next', () => {
        const { mouse, mouseCommand, all, clock } = build();
        assert.deepEqual(mouseCommand(0xf4), [0xfa]);
        mouse.move(300, 5);
        assert.deepEqual(all(), [0x28, 255, 0xfb]);
        clock.advance(10 * millisecond);
        assert.deepEqual(all(), [0x08, 45, 0]);
    });

    it('shows every click, however quick, and the wheel', () => {
        const { mouse, mouseCommand, all, clock } = build();
        mouseCommand(0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf4);
        mouse.setButtons(MouseButton.left);
        mouse.setButtons(0);
        mouse.move(0, 0, -1);
        assert.deepEqual(all(), [0x09, 0, 0, 0]);
        clock.advance(20 * millisecond);
        assert.deepEqual(all(), [0x08, 0, 0, 0xff]);
    });

    it('shows no clicks from before it was enabled, and the last of more than a slow guest can take', () => {
        const { mouse, mouseCommand, all, clock } = build();
        for (let click = 0; click < 20; click++) {
            mouse.setButtons(MouseButton.left);
            mouse.setButtons(0);
        }
        mouse.setButtons(MouseButton.right);
        assert.deepEqual(mouseCommand(0xf4), [0xfa]);
        assert.deepEqual(all(), []);
        mouse.move(1, 0);
        assert.deepEqual(all(), [0x0a, 1, 0]);
        for (let click = 0; click < 20; click++) {
            mouse.setButtons(MouseButton.left);
            mouse.setButtons(0);
        }
        let shown: number[] = [];
        for (let packet = 0; packet < 30; packet++) {
            clock.advance(20 * millisecond);
            shown = [...shown, ...all()];
        }
        assert.deepEqual(shown.slice(-3), [0x08, 0, 0]);
    });

    it('sends on request in remote mode only, and echoes in wrap mode', () => {
        const { mouse, mouseCommand, all } = build();
        mouseCommand(0xf4, 0xf0);
        mouse.move(1, 1);
        assert.deepEqual(all(), []);
        assert.deepEqual(mouseCommand(0xeb), [0xfa, 0x28, 1, 0xff]);
        assert.deepEqual(mouseCommand(0xe9), [0xfa, 0x60, 2, 100]);
        assert.deepEqual(mouseCommand(0xee, 0x12, 0xe6, 0xec), [0xfa, 0x12, 0xe6, 0xfa]);
    });

    it('refuses bad values, the second time in earnest', () => {
        const { mouseCommand } = build();
        assert.deepEqual(mouseCommand(0xe8, 9, 9), [0xfa, 0xfe, 0xfc]);
        assert.deepEqual(mouseCommand(0xe8, 3), [0xfa, 0xfa]);
        assert.deepEqual(mouseCommand(0x01), [0xfe]);
    });

    it('raises IRQ 12 and marks its bytes in the status', () => {
        const { mouse, mouseIrq, keyboardIrq, mouseCommand, status, clock, command, write } = build();
        mouseCommand(0xf4);
        command(0x60);
        write(0x47);
        mouse.move(1, 0);
        clock.advance(millisecond);
        assert.equal(status() & 0x21, 0x21);
        assert.deepEqual([mouseIrq.asserted, keyboardIrq.asserted], [true, false]);
    });
});

describe('keyboard controller and its devices', () => {
    it('continue after save and restore exactly where they were', () => {
        const one = build();
        one.command(0x60);
        one.write(0x47);
        one.mouseCommand(0xf4);
        one.keyboard.key('ControlLeft', true);
        one.keyboard.key('KeyC', true);
        one.mouse.move(400, 3);
        one.clock.advance(150_000);
        const records = one.devices.map(device => device.save());

        const two = build();
        two.clock.stall(one.clock.now());
        two.devices.forEach((device, index) => device.restore(records[index]));
        assert.deepEqual(
            two.devices.map(device => device.save()),
            records,
        );
        assert.deepEqual([two.keyboardIrq.asserted, two.mouseIrq.asserted], [true, false]);
        const continued = one.all();
        assert.ok(continued.length >= 4);
        assert.deepEqual(two.all(), continued);
        one.clock.advance(700 * millisecond);
        two.clock.advance(700 * millisecond);
        assert.deepEqual(two.all(), one.all());
    });

    it('refuse records that they did not save', () => {
        build().devices.forEach(assertRefusesForeignRecords);
    });

    it('survive any sequence of writes', () => {
        const { controller, clock, devices } = build();
        let seed = 1;
        for (let count = 0; count < 20_000; count++) {
            seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
            const value = seed >>> 24;
            const region = seed & 0x10000 ? controller.data : controller.command;
            region.write(0, 1, value);
            if (seed & 0x20000) {
                controller.data.read(0, 1);
            }
            clock.advance(seed & 0xffff);
        }
        devices.forEach(device => device.restore(device.save()));
    });
});

import assert from 'node:assert/strict';
import { Uart16550, type Uart16550Options } from '../../../src/devices/uart16550';
import { FakeClock, FakeLine } from './fake-clock';
import { ascii, assertRefusesForeignRecords } from './fixtures';

const [rbr, thr, ier, iir, fcr, lcr, mcr, lsr, msr, scr] = [0, 0, 1, 2, 2, 3, 4, 5, 6, 7];
/** One character of 8N1 at 115,200 baud, rounded up to whole ns. */
const characterTime = 86_806;

function build(options: Partial<Uart16550Options> = {}) {
    const clock = new FakeClock();
    const irq = new FakeLine();
    const sent: number[] = [];
    const uart = new Uart16550('serial0', { clock, irq, transmit: byte => sent.push(byte), ...options });
    const read = (offset: number) => uart.registers.read(offset, 1);
    const write = (offset: number, value: number) => uart.registers.write(offset, 1, value);
    const program = () => {
        write(lcr, 0x83);
        write(0, 1);
        write(1, 0);
        write(lcr, 0x03);
        write(fcr, 0x07);
        write(mcr, 0x0b);
    };
    return { clock, irq, sent, uart, read, write, program };
}

describe('16550A UART', () => {
    it('passes the probing by which Linux tells a 16550A from its relatives', () => {
        const { read, write } = build();
        // IER keeps four bits: an XScale would keep bit 6, nothing at all would read ones.
        write(ier, 0);
        assert.equal(read(ier), 0);
        write(ier, 0xff);
        assert.equal(read(ier), 0x0f);
        write(ier, 0);
        // Loopback: OUT2 and RTS come back as DCD and CTS.
        write(mcr, 0x1a);
        assert.equal(read(msr) & 0xf0, 0x90);
        write(mcr, 0);
        // With 0xBF in LCR a 16650 shows its EFR in place of IIR; a 16550A shows IIR all the same.
        write(lcr, 0xbf);
        write(fcr, 0);
        write(lcr, 0);
        write(fcr, 1);
        assert.equal(read(iir) >>> 6, 3);
        // FCR bit 5 would give a 16750 its 64-byte FIFO, in DLAB mode.
        write(lcr, 0x80);
        write(fcr, 0x21);
        assert.equal(read(iir) >>> 5, 6);
        write(lcr, 0);
        write(scr, 0x5a);
        assert.equal(read(scr), 0x5a);
    });

    it('shows a FIFO of 16 characters to the size test through loopback', () => {
        const { read, write, sent } = build();
        write(fcr, 0x07);
        write(mcr, 0x10);
        write(lcr, 0x83);
        write(0, 1);
        write(1, 0);
        write(lcr, 0x03);
        for (let count = 0; count < 256; count++) {
            write(thr, count);
        }
        assert.equal(read(lsr) & 2, 2);
        let depth = 0;
        while (read(lsr) & 1) {
            assert.equal(read(rbr), depth++);
        }
        assert.equal(depth, 16);
        assert.deepEqual(sent, []);
    });

    it('keeps the divisor behind DLAB and the FIFO bits out of IIR while FIFOs are off', () => {
        const { read, write } = build();
        assert.equal(read(iir), 0x01);
        write(lcr, 0x80);
        write(0, 0x34);
        write(1, 0x12);
        assert.deepEqual([read(0), read(1)], [0x34, 0x12]);
        write(lcr, 0x03);
        assert.equal(read(ier), 0);
        assert.equal(read(lcr), 0x03);
    });

    it('sends 8-bit characters before anyone programmed the line, and words of the length in LCR afterwards', () => {
        const { write, sent } = build();
        write(thr, 0xff);
        write(lcr, 0x02);
        write(thr, 0xff);
        write(lcr, 0x00);
        write(thr, 0xff);
        assert.deepEqual(sent, [0xff, 0x7f, 0x1f]);
    });

    it('raises the THRE interrupt when it is enabled with an empty transmitter, and again on re-enabling', () => {
        const { irq, read, write } = build();
        write(ier, 2);
        assert.equal(irq.asserted, true);
        assert.equal(read(iir), 0x02);
        assert.equal(irq.asserted, false);
        assert.equal(read(iir), 0x01);
        // Linux's test for UARTs that fail to reassert it.
        write(ier, 0);
        write(ier, 2);
        assert.equal(read(iir), 0x02);
    });

    it('gives an edge for each write to THR, so that an edge-triggered controller hears each emptying', () => {
        const { irq, write, sent } = build();
        write(ier, 2);
        const before = irq.edges;
        write(thr, 0x41);
        write(thr, 0x42);
        assert.equal(irq.edges, before + 2);
        assert.deepEqual(sent, [0x41, 0x42]);
    });

    it('leaves the THRE interrupt pending when IIR names a higher source', () => {
        const { clock, uart, read, write, program } = build();
        program();
        write(ier, 3);
        uart.receive(ascii('x'));
        clock.advance(characterTime);
        assert.equal(read(iir), 0xc4);
        assert.equal(read(rbr), 0x78);
        assert.equal(read(iir), 0xc2);
        assert.equal(read(iir), 0xc1);
    });

    it('ranks interrupt sources: line status, data, timeout, transmitter, modem', () => {
        const { clock, uart, read, write, program } = build({ flowControl: false });
        program();
        write(fcr, 0x81);
        write(ier, 0x0f);
        uart.setModemInputs({ clearToSend: false, dataSetReady: true, ringIndicator: false, dataCarrierDetect: true });
        uart.receiveBreak();
        uart.receive(ascii('abcdefgh'));
        clock.advance(9 * characterTime);
        assert.equal(read(iir), 0xc6);
        assert.equal(read(lsr) & 0x10, 0x10);
        assert.equal(read(iir), 0xc4);
        for (let count = 0; count < 2; count++) {
            read(rbr);
        }
        clock.advance(4 * characterTime);
        assert.equal(read(iir), 0xcc);
        while (read(lsr) & 1) {
            read(rbr);
        }
        assert.equal(read(iir), 0xc2);
        assert.equal(read(iir), 0xc0);
        assert.equal(read(msr), 0xa1);
        assert.equal(read(iir), 0xc1);
    });

    for (const [bits, level] of [
        [0x01, 1],
        [0x41, 4],
        [0x81, 8],
        [0xc1, 14],
    ]) {
        it(`interrupts at ${level} characters with FCR ${bits.toString(16)}`, () => {
            const { clock, irq, uart, write, program } = build();
            program();
            write(fcr, bits);
            write(ier, 1);
            uart.receive(new Uint8Array(level));
            clock.advance((level - 1) * characterTime);
            assert.equal(irq.asserted, false);
            clock.advance(characterTime);
            assert.equal(irq.asserted, true);
        });
    }

    it('interrupts for characters below the trigger level after four character times of silence', () => {
        const { clock, irq, uart, read, write, program } = build();
        program();
        write(fcr, 0xc1);
        write(ier, 1);
        uart.receive(ascii('ab'));
        clock.advance(2 * characterTime);
        clock.advance(3 * characterTime);
        assert.equal(irq.asserted, false);
        clock.advance(characterTime);
        assert.equal(irq.asserted, true);
        assert.equal(read(iir), 0xcc);
        read(rbr);
        assert.equal(irq.asserted, false);
        clock.advance(4 * characterTime);
        assert.equal(read(iir), 0xcc);
        read(rbr);
        clock.advance(10 * characterTime);
        assert.equal(irq.asserted, false);
    });

    it('loses nothing from a peer with flow control, however long the guest takes', () => {
        const { clock, uart, read, program } = build();
        program();
        const text = 'a line that is longer than the FIFO of the chip is deep';
        uart.receive(ascii(text));
        let got = '';
        while (got.length < text.length) {
            clock.advance(1e9);
            assert.equal(read(lsr) & 2, 0);
            while (read(lsr) & 1) {
                got += String.fromCharCode(read(rbr));
            }
        }
        assert.equal(got, text);
        assert.equal(uart.charactersOnWire, 0);
    });

    it('overruns without flow control: the FIFO keeps what it has, a lone buffer is overwritten', () => {
        const { clock, uart, read, write, program } = build({ flowControl: false });
        program();
        uart.receive(ascii('0123456789abcdefXY'));
        clock.advance(20 * characterTime);
        assert.equal(read(lsr) & 0x83, 0x03);
        assert.equal(read(lsr) & 0x02, 0);
        assert.equal(read(rbr), 0x30);
        write(fcr, 0);
        uart.receive(ascii('PQ'));
        clock.advance(20 * characterTime);
        assert.equal(read(lsr) & 3, 3);
        assert.equal(read(rbr), 0x51);
    });

    it('shows a break with its own character only, and flags errors deeper in the FIFO', () => {
        const { clock, uart, read, program } = build();
        program();
        uart.receive(ascii('a'));
        clock.advance(characterTime);
        uart.receiveBreak();
        assert.equal(read(lsr) & 0x90, 0x80);
        assert.equal(read(rbr), 0x61);
        assert.equal(read(lsr) & 0x90, 0x90);
        assert.equal(read(lsr) & 0x91, 0x01);
        assert.equal(read(rbr), 0);
    });

    it('tells the host about a break and sends nothing meanwhile', () => {
        const breaks: boolean[] = [];
        const { write, sent } = build({ lineBreak: held => breaks.push(held) });
        write(lcr, 0x43);
        write(thr, 0x41);
        write(lcr, 0x03);
        assert.deepEqual([breaks, sent], [[true, false], []]);
    });

    it('reports modem changes once, and of the ring only its end', () => {
        const { irq, uart, read, write } = build();
        write(ier, 8);
        assert.equal(read(msr), 0xb0);
        const lines = { clearToSend: true, dataSetReady: true, dataCarrierDetect: true };
        uart.setModemInputs({ ...lines, ringIndicator: true });
        assert.equal(irq.asserted, false);
        assert.equal(read(msr), 0xf0);
        uart.setModemInputs({ ...lines, ringIndicator: false });
        assert.equal(irq.asserted, true);
        assert.equal(read(msr), 0xb4);
        assert.equal(irq.asserted, false);
    });

    it('gates its interrupt by OUT2 where the board is wired so', () => {
        const { irq, write } = build({ out2GatesInterrupt: true });
        write(ier, 2);
        assert.equal(irq.asserted, false);
        write(mcr, 8);
        assert.equal(irq.asserted, true);
        write(mcr, 0x18);
        assert.equal(irq.asserted, false);
    });

    it('splits wide accesses into byte registers', () => {
        const { uart, read, sent } = build();
        uart.registers.write(3, 2, 0x0b03);
        assert.equal(read(mcr), 0x0b);
        uart.registers.write(0, 1, 0x41);
        assert.deepEqual(sent, [0x41]);
        assert.equal(uart.registers.read(3, 4), 0xb0600b03);
    });

    it('continues after save and restore exactly where it was', () => {
        const { clock, irq, uart, write, program } = build();
        program();
        write(fcr, 0xc1);
        write(ier, 0x0f);
        uart.receive(ascii('hello, world'));
        uart.receiveBreak();
        clock.advance(5 * characterTime + 1000);
        const record = uart.save();

        const copy = build();
        copy.clock.stall(clock.now());
        copy.uart.restore(record);
        assert.equal(copy.irq.asserted, irq.asserted);
        assert.deepEqual(copy.uart.save(), record);
        for (const step of [500, characterTime, 20 * characterTime]) {
            clock.advance(step);
            copy.clock.advance(step);
            for (const register of [iir, lsr, rbr, msr]) {
                assert.equal(copy.uart.registers.read(register, 1), uart.registers.read(register, 1));
            }
        }
        assert.deepEqual(copy.uart.save(), uart.save());
    });

    it('refuses records that it did not save', () => {
        assertRefusesForeignRecords(build().uart);
    });

    it('inspects without side effects', () => {
        const { uart, write, program } = build();
        program();
        write(ier, 2);
        const before = uart.save();
        const registers = uart.inspect();
        assert.deepEqual(uart.save(), before);
        assert.match(registers.find(register => register.name === 'LCR')?.description ?? '', /115200 baud, 8N1/);
    });
});

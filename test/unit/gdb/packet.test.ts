import assert from 'node:assert/strict';
import { ReplyReader } from '../../../src/gdb/client/reply-reader';
import { encodeHexPacket, encodePacket, PACKET_SIZE, PacketReader } from '../../../src/gdb/packet';
import { fromLatin1, latin1 } from '../../../src/gdb/text';
import { Random } from '../../support/random';

/** What a reader says of these bytes, in the pieces given. */
function read(...pieces: (string | Uint8Array)[]): string[] {
    const seen: string[] = [];
    const reader = new PacketReader({
        packet: payload => seen.push(`packet ${latin1(payload)}`),
        damaged: () => seen.push('damaged'),
        rejected: () => seen.push('rejected'),
        interrupt: () => seen.push('interrupt'),
    });
    for (const piece of pieces) {
        reader.push(typeof piece === 'string' ? fromLatin1(piece) : piece);
    }
    return seen;
}

describe('gdb packets', () => {
    it('are found in whatever pieces they come', () => {
        assert.deepEqual(read('+$qC#b4'), ['packet qC']);
        assert.deepEqual(read('+', '$', 'q', 'C#', 'b', '4$?#3f'), ['packet qC', 'packet ?']);
    });

    it('come back from their own encoding, whatever bytes they hold', () => {
        const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
        assert.deepEqual(read(encodePacket(all)), [`packet ${latin1(all)}`]);
        assert.deepEqual(read(encodePacket(new Uint8Array(0))), ['packet ']);
    });

    it('escape what would end them or be read as something else', () => {
        assert.equal(latin1(encodePacket(fromLatin1('a#b$c}d*e'))), '$a}\x03b}\x04c}]d}\x0ae#51');
    });

    it('are damaged if the checksum is wrong or none', () => {
        assert.deepEqual(read('$qC#b5', '$qC#zz', '$qC#b4'), ['damaged', 'damaged', 'packet qC']);
    });

    it('are damaged if they are too long, and the next one is read', () => {
        const long = encodePacket(new Uint8Array(PACKET_SIZE + 1).fill(0x61));
        assert.deepEqual(read(long, '$qC#b4'), ['damaged', 'packet qC']);
    });

    it('begin anew where the end of the last one was lost', () => {
        assert.deepEqual(read('$m0,1$qC#b4'), ['packet qC']);
    });

    it('leave room for interrupts and rejections between them', () => {
        assert.deepEqual(read('\x03$qC#b4-\x03'), ['interrupt', 'packet qC', 'rejected', 'interrupt']);
    });

    it('of memory tell runs of digits, in characters that mean nothing else', () => {
        const random = new Random(20261123);
        const lengths = Array.from({ length: 120 }, (_, length) => length);
        const memories = [
            ...lengths.map(length => new Uint8Array(length)),
            ...lengths.map(length => Uint8Array.of(1, ...new Uint8Array(length).fill(0xff), 0xf0)),
            ...lengths.map(() => Uint8Array.from({ length: 300 }, () => random.pick([0, 0, 0, 0x11, 0x10, 0x99]))),
        ];
        for (const memory of memories) {
            const packet = encodeHexPacket(memory);
            const payloads: string[] = [];
            const reader = new ReplyReader({
                packet: payload => payloads.push(latin1(payload)),
                damaged: () => assert.fail(),
                rejected: () => assert.fail(),
                tooLong: () => assert.fail(),
            });
            reader.push(packet);
            assert.deepEqual(payloads, [Buffer.from(memory).toString('hex')]);
            assert.doesNotMatch(latin1(packet.subarray(1, -3)), /[#$+-]/);
        }
        assert.ok(encodeHexPacket(new Uint8Array(0x10000)).length < 5000);
    });
});

/** Whatever a client sends, the session answers or ignores it, and goes on. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { MachineTarget } from '../../../src/debug/machine-target';
import { encodePacket, PacketReader } from '../../../src/gdb/packet';
import { GdbSession } from '../../../src/gdb/session';
import { fromLatin1, latin1 } from '../../../src/gdb/text';
import { Machine } from '../../../src/machine/machine';
import { readElfSymbols } from '../../../src/symbols/elf';
import { SymbolTable } from '../../../src/symbols/symbol-table';
import { CODE_ARENA_SIZE, translatorEngine } from '../../../src/translator';
import { Random } from '../../support/random';
import { sampleElf } from '../../support/sample';

const CASES = Number(process.env.HYPERSCOPE_CASES ?? 100_000);
const SEED = Number(process.env.HYPERSCOPE_SEED ?? 20261122);

const WORDS = [
    ...[
        '?',
        'g',
        'G',
        'p',
        'P10=',
        'm',
        'M',
        'X',
        'x',
        'c',
        's',
        'C05',
        'S05',
        'H',
        'Hg',
        'Hc',
        'T',
        'Z0,',
        'Z1,',
        'Z2,',
    ],
    ...['Z3,', 'Z4,', 'z0,', 'z2,', 'Z9,', 'qSupported:', 'qC', 'qfThreadInfo', 'qsThreadInfo', 'qThreadExtraInfo,'],
    ...['qXfer:features:read:target.xml:', 'qXfer:threads:read::', 'qXfer:exec-file:read:', 'qXfer:features:write:'],
    ...[
        'qRcmd,',
        'qSearch:memory:',
        'vCont?',
        'vCont;c',
        'vCont;s:1',
        'vCont;r',
        'vCont;t',
        'vFile:open:',
        'vFile:pread:',
    ],
    ...[
        'vFile:fstat:',
        'vFile:close:',
        'vFile:unlink:',
        'vMustReplyEmpty',
        'qqemu.PhyMemMode',
        'Qqemu.PhyMemMode:',
        'R',
    ],
    ...['qSymbol::', 'bs', 'bc', 'QTDP', '!', 'i', 'vRun;', 'qAttached', 'qOffsets', 'F', 'd', 't', 'ÿ'],
];
const PIECES = [
    ...[
        '0',
        '1',
        '-1',
        'ffffffffffffffff',
        'ffffffff80102abf',
        '1000',
        'fffffff0',
        '100000000',
        'x',
        ',',
        ';',
        ':',
        '=',
    ],
    ...[
        'ffffffffffffffffffff',
        '7fffffffffffffff',
        '10',
        '4',
        '8',
        ';X2,2227',
        ';X4,26000027',
        ';X3,2100',
        '\0',
        '}',
        '*',
    ],
    ...['77616c6b20307831303030', '68656c70', '72656769737465727320', 'e2', '%', '00', '20000', '1,4', '0,fff', 'p1.1'],
];

/** Commands that end the session: not while it has to go on. */
const FAREWELL = /^(D|k|vKill)/;

/** Packets that are nearly right, of the kinds that take most apart. */
const SUBJECTS: readonly ((random: Random) => string)[] = [
    // Conditions: random bytecode, of the length that is told or of another.
    random => {
        const code = Array.from({ length: random.below(40) }, () =>
            random.oneIn(3) ? random.pick([0x22, 0x23, 0x26, 0x20, 0x21, 0x27, 0x28, 0x19]) : random.below(256),
        );
        const length = random.oneIn(8) ? random.below(0x20000) : code.length;
        const digits = Buffer.from(code).toString('hex');
        return `Z${random.below(2)},${random.pick(['ffffffff80102abf', '1000', '0'])},1;X${length.toString(16)},${digits}`;
    },
    // Files: of the host, with any descriptor, flags and place.
    random =>
        `vFile:${random.pick(['open:', 'pread:', 'pwrite:', 'fstat:', 'close:', 'setfs:', 'readlink:', 'stat:', ''])}` +
        Array.from({ length: random.below(5) }, () =>
            random.pick([
                '3',
                '0',
                '-1',
                'ffffffffffffffff',
                '7fffffff',
                '2f6574632f706173737764',
                '2e2e2f',
                '',
                '42',
                'zz',
            ]),
        ).join(','),
    // Binary data: escapes, and lengths that do not fit.
    random => {
        const data = String.fromCharCode(...Array.from({ length: random.below(64) }, () => random.below(256)));
        const length = random.oneIn(3) ? random.below(0x30000) : data.length;
        const address = random.pick([
            'ffffffff80108000',
            'ffffffff80107ff0',
            '1000',
            'fffffffffffffff8',
            'fffffff0',
            '',
        ]);
        return `${random.pick(['X', 'M', 'qSearch:memory:'])}${address}${random.pick([',', ';'])}${length.toString(16)}${random.pick([':', ';'])}${data}`;
    },
    // Threads that go on, step, stop, and do not exist.
    random =>
        `vCont${Array.from({ length: random.below(5) }, () => {
            const action = random.pick([
                'c',
                's',
                't',
                'C05',
                'S0b',
                'r1000,2000',
                'rffff,0',
                'r',
                'x',
                '',
                'rfffffffffffffffff,1',
            ]);
            return `;${action}${random.pick(['', ':1', ':0', ':-1', ':2', ':p1.1', ':p1.-1', ':', ':ffffffffffffffff'])}`;
        }).join('')}`,
    // Registers that are too many, too long, or cannot be written.
    random =>
        random.oneIn(2)
            ? `P${random.below(100).toString(16)}=${'5a'.repeat(random.below(20))}`
            : `G${random.pick(['00', 'xx', 'ff', 'zz'])}`.padEnd(1 + random.below(1400), random.pick(['0', 'x', 'f'])),
    // Parts of objects.
    random =>
        `qXfer:${random.pick(['features', 'threads', 'exec-file', 'memory-map', 'siginfo'])}:${random.pick(['read', 'write'])}:` +
        `${random.pick(['target.xml', '', '1', '../../etc/passwd'])}:${random.pick(['0', 'ffffffffffffffff', '10', '-1'])},` +
        `${random.pick(['0', 'ffffffffffffffff', '1000', ''])}`,
];

function hostilePacket(random: Random): string {
    if (random.oneIn(3)) return random.pick(SUBJECTS)(random);
    let text = random.oneIn(12) ? '' : random.pick(WORDS);
    for (let count = random.below(5); count > 0; count--) {
        text += random.oneIn(6) ? String.fromCharCode(random.below(256)) : random.pick(PIECES);
    }
    if (random.oneIn(200)) text += 'a'.repeat(random.below(5000));
    return FAREWELL.test(text) ? `?${text}` : text;
}

function machine(): { readonly target: MachineTarget; readonly machine: Machine } {
    const data = readFileSync(sampleElf);
    const guest = new Machine({
        memory: 16 * 0x100000,
        engine: translatorEngine({ now: () => performance.now() }),
        engineArena: CODE_ARENA_SIZE,
        kernel: { kernel: { name: 'sample', data }, modules: [], commandLine: 'monitor' },
    });
    const target = new MachineTarget(guest, new SymbolTable(readElfSymbols('sample', data)), {
        now: () => performance.now(),
        yield: () => new Promise(resolve => setImmediate(resolve)),
        sleep: milliseconds => new Promise(resolve => setTimeout(resolve, Math.min(milliseconds, 1))),
    });
    return { target, machine: guest };
}

describe('a hostile gdb', function () {
    this.timeout(300_000);

    it(`gets answers to ${CASES} packets of any kind, and the session goes on`, async () => {
        const random = new Random(SEED);
        const { target } = machine();
        let answers = 0;
        let last = '';
        const defects: string[] = [];
        const replies = new PacketReader({
            packet: () => answers++,
            damaged: () => assert.fail('a damaged answer'),
            rejected: () => undefined,
            interrupt: () => undefined,
        });
        const session = new GdbSession(target, {
            send: bytes => replies.push(bytes),
            close: () => assert.fail('the session has ended'),
            kill: () => assert.fail('the guest was killed'),
            failed: error => defects.push(`${last}: ${String(error)}`),
        });
        target.listener = {
            stopped: stop => session.stopped(stop),
            ended: end => session.ended(end),
            logged: text => session.logged(text),
            failed: error => {
                throw error;
            },
        };
        for (let i = 0; i < CASES; i++) {
            last = hostilePacket(random);
            const bytes = encodePacket(fromLatin1(last));
            if (random.oneIn(20)) bytes[random.below(bytes.length)] ^= 1 << random.below(8); // damaged on the way
            const cut = random.oneIn(10) ? random.below(bytes.length) : bytes.length;
            session.receive(bytes.subarray(0, cut));
            session.receive(bytes.subarray(cut));
            if (random.oneIn(30)) session.receive(Uint8Array.of(3));
            if (i % 50 === 0) {
                session.receive(Uint8Array.of(3));
                await session.settled();
            }
        }
        // A client in its right mind comes after it.
        session.receive(Uint8Array.of(3));
        session.receive(fromLatin1('$#00'));
        await session.settled();
        while (target.state === 'running') {
            await target.pause(0);
            await new Promise(resolve => setTimeout(resolve, 5));
        }
        await session.settled();
        assert.deepEqual(defects, []);
        assert.ok(answers > CASES / 3, `${answers} answers`);
        let description = '';
        const reader = new PacketReader({
            packet: payload => (description += latin1(payload)),
            damaged: () => assert.fail(),
            rejected: () => undefined,
            interrupt: () => undefined,
        });
        const next = new GdbSession(target, {
            send: bytes => reader.push(bytes),
            close: () => undefined,
            kill: () => undefined,
            failed: error => assert.fail(String(error)),
        });
        next.receive(encodePacket(fromLatin1('qXfer:features:read:target.xml:0,1000')));
        next.receive(encodePacket(fromLatin1('qC')));
        await next.settled();
        assert.match(description, /org\.gnu\.gdb\.i386\.core.*QC0/s);
        await target.dispose();
    });
});

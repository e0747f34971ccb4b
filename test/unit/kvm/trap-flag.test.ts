/** A guest that steps itself by RFLAGS.TF, under a debugger that steps it too, and on both engines in turn. */
import assert from 'node:assert/strict';
import { ENTRY } from './kernel';
import { type KvmMachine, kvmMachineForTests, writeIdt } from './kvm-machine';

const IDT = 0x5000;
const POINTER = 0x6000;
const RESULT = 0x7000;
const MAIN = [
    'bc 00 80 00 00', // mov esp, 0x8000
    '0f 01 1d 00 60 00 00', // lidt [0x6000]
    '31 db', // xor ebx, ebx
    '9c 81 0c 24 00 01 00 00 9d', // pushf; or dword [esp], 0x100; popf
    '90 42 42 50 58', // nop; inc edx; inc edx; push eax; pop eax
    'cd 80', // int 0x80
    '90 b9 05 00 00 00 e2 fe', // nop; mov ecx, 5; loop itself
    '9c 81 24 24 ff fe ff ff 9d', // pushf; and dword [esp], ~0x100; popf
    '89 1d 00 70 00 00', // mov [0x7000], ebx
    'c6 05 04 70 00 00 01', // mov byte [0x7004], 1
    'eb fe',
].join(' ');
const HANDLERS = '43 cf cf'; // inc ebx; iret; iret

describe("a guest's own single steps", function () {
    this.timeout(30_000);
    const onKvm = kvmMachineForTests();
    const build = (): KvmMachine => {
        const built = onKvm(`${MAIN} ${HANDLERS}`);
        const size = MAIN.split(' ').length;
        writeIdt(built.machine, IDT, POINTER, { 1: size, 0x80: size + 2 });
        return built;
    };
    /** Runs to the end; returns how many #DB the guest has counted. */
    const traps = (between: (built: KvmMachine, turn: number) => number): number => {
        const built = build();
        const result = new Uint8Array(5);
        for (let turn = 0; result[4] === 0; turn++) {
            const { reason } = built.machine.run({ instructions: between(built, turn) });
            assert.equal(reason, 'budget');
            assert.ok(turn < 100_000, 'it does not end');
            built.machine.memory.readBytes(RESULT, result);
        }
        built.engine.dispose();
        return new DataView(result.buffer).getUint32(0, true);
    };

    it('are the same on KVM, stepped by the debugger, at breakpoints, and moving between the engines', () => {
        const expected = traps(({ engine }) => {
            engine.switchTo('translator');
            return 1000;
        });
        // Five before INT, two after it, five of LOOP, three up to POPF.
        assert.equal(expected, 15);
        assert.equal(
            traps(() => 100_000),
            expected,
        );
        assert.equal(
            traps(() => 1),
            expected,
            'stepped',
        );
        assert.equal(
            traps(({ engine }, turn) => {
                engine.switchTo(turn % 2 ? 'kvm' : 'translator');
                return turn % 2 ? 60_000 : 1;
            }),
            expected,
            'moving',
        );
        let met = 0;
        assert.equal(
            traps(({ engine }) => {
                const condition = (): boolean => {
                    met++;
                    return false;
                };
                engine.setBreakpoints(
                    [24, 25, 26, 27].map(offset => ({ id: 1, lo: ENTRY + offset, hi: 0, condition })),
                );
                return 100_000;
            }),
            expected,
            'past breakpoints',
        );
        assert.ok(met >= 4);
    });
});

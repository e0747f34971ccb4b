import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { EventFilter } from '../../../src/debug/events/event-stops';
import { MachineTarget } from '../../../src/debug/machine-target';
import type { End, Stop } from '../../../src/debug/target';
import type { Machine } from '../../../src/machine/machine';
import { SymbolTable } from '../../../src/symbols/symbol-table';
import { rom, ROM_BASE, romMachine } from '../../support/rom-machine';
import { sampleRom } from '../../support/sample';

const host = {
    now: () => performance.now(),
    yield: () => new Promise<void>(resolve => setImmediate(resolve)),
    sleep: (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds)),
};

/** `mov word [4 * vector], 0x80; mov word [4 * vector + 2], 0xf000`: handlers are at F000:0080. */
function handler(vector: number): string {
    const word = (value: number): string => Buffer.from([value & 0xff, value >> 8]).toString('hex');
    return `c706 ${word(4 * vector)} 8000 c706 ${word(4 * vector + 2)} 00f0`;
}

const HANDLER_OFFSET = 0x80;

class Session {
    readonly machine: Machine;
    readonly target: MachineTarget;
    readonly logged: string[] = [];
    static last: Session | undefined;
    private settle: (outcome: Stop | End) => void = () => undefined;

    /** @param code a ROM, or what begins at F000:0000; the handler at F000:0080 is IRET then */
    constructor(code: string | Uint8Array, options: Parameters<typeof romMachine>[1] = {}) {
        const image = typeof code === 'string' ? rom(code) : code;
        if (typeof code === 'string') image[HANDLER_OFFSET] = 0xcf;
        this.machine = romMachine(image, options);
        this.target = new MachineTarget(this.machine, new SymbolTable(), host);
        Session.last = this;
        this.target.listener = {
            stopped: stop => this.settle(stop),
            ended: end => this.settle(end),
            logged: text => this.logged.push(text),
            failed: error => {
                throw error;
            },
        };
    }

    async filter(...filters: readonly EventFilter[]): Promise<(string | undefined)[]> {
        return this.target.events.setFilters(filters);
    }

    async go(how: 'resume' | 'step' = 'resume'): Promise<Stop | End> {
        const outcome = new Promise<Stop | End>(resolve => (this.settle = resolve));
        await (how === 'resume' ? this.target.resume() : this.target.step(0, 'into'));
        return outcome;
    }

    /** Text of the next stop, and where the vCPU is then, as an offset in the ROM. */
    async next(): Promise<[string | undefined, number]> {
        const { note } = await this.go();
        return [note, Number(this.machine.processors[0].cpu.ripLo)];
    }

    get retired(): number {
        return this.machine.engine.retired();
    }
}

function at(offset: number): string {
    return `0x${(ROM_BASE + offset).toString(16)}`;
}

describe('stops at machine events', () => {
    afterEach(() => Session.last?.target.dispose());

    it('behind OUT and IN, with what was moved', async () => {
        // mov al, 0x41; out 0x80, al; in al, 0x64; mov dx, 0xcf8; mov eax, 0x80000000; out dx, eax; hlt
        const session = new Session('b041 e680 e464 baf80c 66b800000080 66ef f4');
        assert.deepEqual(await session.filter({ kind: 'portOut' }, { kind: 'portIn' }), [undefined, undefined]);
        assert.deepEqual(await session.next(), [`I/O out: 0x80 ← 0x41 'A' at ${at(2)}`, 4]);
        const before = session.retired;
        const [text, offset] = await session.next();
        assert.match(text!, new RegExp(`^I/O in: 0x64 → 0x[0-9a-f]+.* at ${at(4)}$`));
        assert.equal(offset, 6);
        assert.equal(session.retired, before + 1);
        assert.deepEqual(await session.next(), [`I/O out: 0xcf8/32 ← 0x80000000 at ${at(0xf)}`, 0x11]);
    });

    it('behind a store to device registers in the middle of a block', async () => {
        // mov ax, 0xa000; mov ds, ax; mov [0x10], al; mov bl, [0x20]; inc cx; hlt
        const session = new Session('b800a0 8ed8 a21000 8a1e2000 41 f4');
        await session.filter({ kind: 'mmioWrite' }, { kind: 'mmioRead' });
        assert.deepEqual(await session.next(), [`MMIO write: 0xa0010 ← 0x0 at ${at(5)}`, 8]);
        assert.equal(session.retired, 4);
        assert.deepEqual(await session.next(), [`MMIO read: 0xa0020 → 0xff at ${at(8)}`, 0xc]);
        assert.equal(session.retired, 5);
        assert.equal(session.machine.processors[0].cpu.gpr(3) & 0xff, 0xff, 'BL is loaded');
    });

    it('behind writes of control registers and where the mode changes', async () => {
        // mov eax, cr0; or al, 1; mov cr0, eax; xor al, 1; mov cr0, eax; hlt
        const session = new Session('0f20c0 0c01 0f22c0 3401 0f22c0 f4');
        await session.filter({ kind: 'crWrite' }, { kind: 'modeSwitch' });
        const into = `mode switch: real mode → protected mode at ${at(5)}`;
        assert.deepEqual(await session.next(), [`${into}; CR0 write: 0x60000010 → 0x60000011 (+PE) at ${at(5)}`, 8]);
        await session.filter({ kind: 'modeSwitch', condition: 'to == real' });
        assert.deepEqual(await session.next(), [`mode switch: protected mode → real mode at ${at(0xa)}`, 0xd]);
    });

    it('behind CLTS and LMSW, which write CR0 too', async () => {
        // mov ax, 8; lmsw ax; clts; hlt
        const session = new Session('b80800 0f01f0 0f06 f4');
        await session.filter({ kind: 'crWrite', cause: 0 });
        assert.deepEqual(await session.next(), [`CR0 write: 0x60000010 → 0x60000018 (+TS) at ${at(3)}`, 6]);
        assert.deepEqual(await session.next(), [`CR0 write: 0x60000018 → 0x60000010 (-TS) at ${at(6)}`, 8]);
    });

    it('behind CR3 and CR4 writes only, where only those are asked for', async () => {
        // mov eax, 0x5000; mov cr3, eax; mov cr0, eax (0x5000: harmless); mov eax, 0x20; mov cr4, eax; hlt
        const session = new Session('66b800500000 0f22d8 66b820000000 0f22e0 f4');
        await session.filter(
            { kind: 'crWrite', cause: 4 },
            { kind: 'crWrite', cause: 3, condition: 'value == 0x6000' },
        );
        assert.deepEqual(await session.next(), [`CR4 write: 0x0 → 0x20 (+PAE) at ${at(0xf)}`, 0x12]);
    });

    it('behind RDMSR and WRMSR', async () => {
        // mov ecx, 0xc0000080; rdmsr; or al, 1; wrmsr; mov cl, 0x81; wrmsr; hlt
        const session = new Session('66b9800000c0 0f32 0c01 0f30 b181 0f30 f4');
        await session.filter({ kind: 'msrRead' }, { kind: 'msrWrite', condition: 'msr == 0xc0000080 && value & 1' });
        assert.deepEqual(await session.next(), [`MSR read: IA32_EFER (0xc0000080) → 0x0 at ${at(6)}`, 8]);
        assert.deepEqual(await session.next(), [`MSR write: IA32_EFER (0xc0000080) 0x0 → 0x1 at ${at(0xa)}`, 0xc]);
        await session.filter({ kind: 'msrWrite', condition: '0x1b, 0xc0000081-0xc0000083' });
        assert.deepEqual(await session.next(), [`MSR write: IA32_STAR (0xc0000081) 0x0 → 0x1 at ${at(0xe)}`, 0x10]);
    });

    it('behind CPUID, and behind HLT before anything wakes the vCPU', async () => {
        // mov eax, 1; cpuid; hlt; inc cx
        const session = new Session('66b801000000 0fa2 f4 41');
        await session.filter({ kind: 'cpuid' }, { kind: 'hlt' });
        assert.deepEqual(await session.next(), [`CPUID: leaf 0x1, subleaf 0x0 at ${at(6)}`, 8]);
        assert.deepEqual(await session.next(), [`HLT at ${at(8)}`, 9]);
        assert.equal(await session.target.isHalted(0), true);
    });

    it('at the instruction that raises an exception, once each time', async () => {
        // UD2 three times, whose handler goes on behind it: add word [esp], 2; iret
        const session = new Session(`${handler(6)} 0f0b 0f0b 0f0b f4`);
        const image = session.machine.memory.bytes;
        const { base } = session.machine.memory.layout.rom;
        image.set(Buffer.from('5583ec0089e5834602025dcf', 'hex'), base + HANDLER_OFFSET);
        await session.filter({ kind: 'exception', cause: 6 });
        const seen = [await session.next(), await session.next(), await session.next()];
        assert.deepEqual(seen, [
            ['#UD invalid opcode', 0xc],
            ['#UD invalid opcode', 0xe],
            ['#UD invalid opcode', 0x10],
        ]);
    });

    it('at an exception on which a step has come to stand', async () => {
        const session = new Session('90 0f0b');
        await session.go('step');
        await session.go('step');
        await session.filter({ kind: 'exception', cause: 6 });
        assert.deepEqual(await session.next(), ['#UD invalid opcode', 1]);
    });

    it('at INT n, INT3 and INTO, before they are delivered', async () => {
        // mov eax, 0x0e41; int 0x10; int3; mov al, 0x7f; inc al; into; hlt
        const session = new Session(`${handler(0x10)} ${handler(3)} ${handler(4)} b8410e cd10 cc b07f fec0 ce f4`);
        await session.filter({ kind: 'softwareInterrupt' });
        const [text, offset] = await session.next();
        assert.match(text!, /^software interrupt: INT 0x10, EAX 0x[0-9a-f]*e41 at 0xf0027$/);
        assert.equal(offset, 0x27);
        assert.deepEqual((await session.next())[1], 0x29);
        assert.deepEqual((await session.next())[1], 0x2e);
        await session.filter({ kind: 'softwareInterrupt', condition: 'vector == 0x11' }, { kind: 'hlt' });
        assert.match((await session.next())[0]!, /^HLT/);
    });

    it("at an interrupt's handler, and tells its source", async () => {
        // Local APIC off, so that the PIC reaches the processor: mov ecx, 0x1b; mov eax, 0x100; xor edx, edx; wrmsr.
        // PIC: ICW1–4 (vectors from 20h), mask all but IRQ 0; PIT channel 0 mode 2, count 1000h; sti; jmp $
        const apic = '66b91b000000 66b800010000 6631d2 0f30';
        const pic = 'b011 e620 b020 e621 b004 e621 b001 e621 b0fe e621';
        const session = new Session(`${handler(0x20)} ${apic} ${pic} b034 e643 b000 e640 b010 e640 fb ebfe`);
        await session.filter({ kind: 'externalInterrupt', condition: '0x20-0x2f' });
        const [text, offset] = await session.next();
        assert.match(text!, /^interrupt: vector 0x20, PIC IRQ 0 \(PIT timer\) at 0xf00/);
        assert.equal(offset, HANDLER_OFFSET);
        const { retired } = session;
        const stop = await session.go('step');
        assert.deepEqual([stop.reason, session.retired], ['step', retired + 1]);
    });

    it('before a reset and a power-off take place', async () => {
        // mov al, 0xfe; out 0x64, al
        const session = new Session('b0fe e664 f4');
        await session.filter({ kind: 'reset' });
        assert.deepEqual(await session.next(), [`reset at ${at(2)}`, 4]);
        assert.deepEqual(await session.next(), [`reset at ${at(2)}`, 4]);
        assert.equal(session.machine.loop.ended, undefined);
    });

    it('before a double fault, at the instruction that began it', async () => {
        // lidt with limit 0: mov word [0x600], 0; mov dword [0x602], 0; lidt [0x600]; ud2
        const session = new Session('c70600060000 66c706020600000000 0f011e0006 0f0b');
        await session.filter({ kind: 'exception', cause: 8 });
        const [text, offset] = await session.next();
        assert.equal(text, '#DF double fault, raised while another exception was delivered');
        assert.equal(offset, 0x14);
        const end = await session.go();
        assert.match(end.note!, /^triple fault: #UD/);
    });

    it('and leaves the rest to conditions that fail, with a word on why', async () => {
        const session = new Session('b041 e680 e680 f4');
        await session.filter({ kind: 'portOut', condition: 'u32[phys:0xffffffff0] == 1' });
        assert.match((await session.next())[0]!, /^I\/O out/);
        assert.match(session.logged[0], /no memory to read/);
    });

    it('refuses conditions that cannot be, and points at what is wrong', async () => {
        const session = new Session('f4');
        const problems = await session.filter(
            { kind: 'portOut', condition: 'prot == 3' },
            { kind: 'portOut', condition: 'port = 3' },
            { kind: 'hlt', condition: '1, 2' },
            { kind: 'msrRead', condition: '9-3' },
            { kind: 'msrRead', condition: '0x10, 0x60-' },
            { kind: 'portIn', condition: `${'1,'.repeat(300)}1` },
            { kind: 'nonsense' as never },
            { kind: 'portOut', condition: '(('.repeat(5000) },
        );
        assert.deepEqual(
            problems.map(problem => problem?.split('\n')[0].slice(0, 60)),
            [
                "there is no register, symbol or field 'prot' (fields: port, size, value, vcpu)",
                "a condition must not change anything: '==' compares",
                'these events have no number to compare with a list: write an expression',
                'a range begins with its lower end',
                problems[4]?.split('\n')[0],
                '301 ranges: at most 256 are possible',
                "there is no kind of event 'nonsense'",
                problems[7]?.split('\n')[0],
            ].map(text => text?.slice(0, 60)),
        );
        assert.ok(problems.every(problem => problem !== undefined));
    });

    it('at what a guest does on its way to long mode and to its other processors', async () => {
        const options = { memory: 64 << 20, cpus: 2, serial: [() => undefined] };
        const session = new Session(readFileSync(sampleRom), options);
        await session.filter({ kind: 'modeSwitch', condition: 'paging && !wasPaging' }, { kind: 'ipi' });
        assert.match((await session.next())[0]!, /^mode switch: protected mode → compatibility mode at 0x/);
        assert.match((await session.next())[0]!, /^IPI: INIT, vector 0x0 to (?:all others|APIC 0x1) at 0x/);
        await session.filter({ kind: 'ipi', condition: 'mode == 6 && vector > 0 && (value & 0x700) == 0x600' });
        assert.match((await session.next())[0]!, /^IPI: start-up, vector 0x[0-9a-f]+ to/);
        await session.filter({ kind: 'modeSwitch', condition: 'vcpu == 1 && from == compatibility && to == long' });
        const stop = (await session.go()) as Stop;
        assert.equal(stop.vcpu, 1);
        await session.filter({ kind: 'cpuid' }, { kind: 'exception', cause: 14, condition: '0x0-0xfff' });
        assert.match((await session.next())[0]!, /^#PF .*likely a null pointer/);
    });

    it('takes accesses that reach into a listed range', async () => {
        // mov eax, 0; mov dx, 0xcf8; out dx, eax; out dx, al
        const session = new Session('66b800000000 baf80c 66ef ee f4');
        await session.filter({ kind: 'portOut', condition: '0xcfb' }, { kind: 'hlt' });
        assert.match((await session.next())[0]!, /0xcf8\/32/);
        assert.match((await session.next())[0]!, /^HLT/);
    });
});

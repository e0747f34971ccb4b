import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { ListingBody } from '../../src/messages/listing';
import { TestClient } from './client';
import { GoldenLog } from './golden-log';
import { guestImage } from './guest';
import { guestFolder } from './guest-folder';

describe('listings', () => {
    const at = guestFolder();
    let client: TestClient;

    before(() => {
        writeFileSync(at('guest.elf'), guestImage('exit'));
        // 64 KiB: a jump from the reset vector to F000:E05B, where 16-bit code switches to 32 bits.
        const rom = new Uint8Array(0x10000).fill(0x90);
        rom.set([0xea, 0x5b, 0xe0, 0x00, 0xf0], 0xfff0);
        rom.set([0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xf4], 0xe05b);
        writeFileSync(at('rom.bin'), rom);
    });

    afterEach(() => client.stop());

    const start = async (attributes: object, log?: GoldenLog): Promise<void> => {
        log?.scrub(at(), '<folder>');
        client = new TestClient(log);
        await client.launch({ memory: '16M', ...attributes });
        await client.run('configurationDone', {});
    };
    const top = async (): Promise<DebugProtocol.StackFrame> =>
        (await client.request<{ stackFrames: DebugProtocol.StackFrame[] }>('stackTrace', { threadId: 1 }))!
            .stackFrames[0];

    it('are the sources of frames, take breakpoints by line, and places to go to', async () => {
        const log = new GoldenLog('listings');
        await start({ kernel: at('guest.elf') }, log);
        const { source } = await top();
        await client.request('source', { source, sourceReference: source!.sourceReference });
        await client.request('loadedSources');
        await client.request('breakpointLocations', { source, line: 23, endLine: 28 });
        // Line 25 is a label: the breakpoint goes to what follows it.
        await client.request('setBreakpoints', {
            source,
            breakpoints: [{ line: 27, condition: 'eax == 2' }, { line: 9000 }],
        });
        await client.run('continue');
        await client.request('stackTrace', { threadId: 1 });
        await client.run('next', { threadId: 1, granularity: 'statement' });
        await client.request('stackTrace', { threadId: 1 });
        await client.request('gotoTargets', { source, line: 24 });
        await client.run('goto', { threadId: 1, targetId: 1 });
        await client.request('stackTrace', { threadId: 1 });
        await client.request('source', { sourceReference: 77 });
        // A listing of an earlier session is found again by its name.
        await client.request('setBreakpoints', {
            source: { name: '0x100000.disasm', sourceReference: 4711 },
            breakpoints: [{ line: 27 }],
        });
        await client.request('setBreakpoints', { source: { path: '/src/main.c' }, breakpoints: [{ line: 3 }] });
        log.check();
    });

    it('stay as they are when the code changes, which then has another one', async () => {
        await start({ kernel: at('guest.elf') });
        const before = await top();
        const text = async (sourceReference: number): Promise<string> =>
            (await client.request<{ content: string }>('source', { sourceReference }))!.content;
        const old = await text(before.source!.sourceReference!);
        await client.request('writeMemory', {
            memoryReference: '0x100045',
            data: Buffer.from('48', 'hex').toString('base64'),
        });
        const after = await top();
        assert.notEqual(after.source!.sourceReference, before.source!.sourceReference);
        assert.equal(await text(before.source!.sourceReference!), old);
        assert.match(old, /inc eax/);
        assert.match(await text(after.source!.sourceReference!), /dec eax/);
    });

    it('show 16-bit code at the reset vector, forwards and backwards, and count lines as the client does', async () => {
        client = new TestClient();
        await client.launch(
            { firmware: at('rom.bin'), memory: '16M' },
            { linesStartAt1: false, columnsStartAt1: false },
        );
        await client.run('configurationDone', {});
        const frame = await top();
        const listing = (await client.request<ListingBody>('hyperscope/listing', { address: 'pc' }))!;
        assert.equal(listing.sourceReference, frame.source!.sourceReference);
        assert.equal(listing.line, frame.line + 1);
        assert.equal(listing.currentLine, listing.line);
        assert.equal(listing.lines[frame.line].address, '0xfffffff0');
        assert.match(listing.text.split('\n')[frame.line], /^fffffff0 {2}ea 5b e0 00 f0 +jmp far 0xf000:0xe05b$/);
        await client.run('stepIn', { threadId: 1 });
        const { instructions } = (await client.request<{ instructions: DebugProtocol.DisassembledInstruction[] }>(
            'disassemble',
            { memoryReference: '0xfe05b', instructionOffset: -3, instructionCount: 7 },
        ))!;
        assert.deepEqual(
            instructions.map(({ address, instruction }) => `${address} ${instruction}`),
            [
                ...['0xfe058 nop', '0xfe059 nop', '0xfe05a nop', '0xfe05b cli', '0xfe05c xor ax, ax'],
                ...['0xfe05e mov ds, ax', '0xfe060 hlt'],
            ],
        );
    });
});

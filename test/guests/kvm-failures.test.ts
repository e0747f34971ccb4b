/** Requests to KVM that fail, as users of the command line and of a session see them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Capability, ExitReason, InternalErrorExit, Ioctl, RunOffset } from '../../src/kvm/abi';
import { ExitHandler } from '../../src/kvm/exit-handler';
import { VcpuThread } from '../../src/kvm/vcpu-thread';
import type { EngineBody } from '../../src/messages/engine';
import { InProcessClient } from '../dap/in-process';
import { kvm, needs } from '../support/requirements';
import { SAMPLE_END, sampleElf, sampleOutput } from '../support/sample';
import { runCli } from './support/cli';

/** What a host answers to a request; -1 with an error number. */
interface Answer {
    readonly request: Ioctl;
    /** Only with this argument. */
    readonly argument?: number;
    /** From this call on. */
    readonly call?: number;
    readonly result: number;
    readonly errno?: number;
}

describe('requests to KVM that fail', function () {
    this.timeout(60_000);
    let folder: string;
    before(function () {
        needs(this, kvm);
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
    });
    after(() => {
        if (folder !== undefined) rmSync(folder, { recursive: true });
    });

    /** A program that has the system answer to one request as a test wants it. */
    function hostThatAnswers(answer: Answer): string {
        const file = path.join(folder, 'host.js');
        writeFileSync(
            file,
            `const Module = require('node:module');
             const load = Module._load;
             const answer = ${JSON.stringify(answer)};
             let calls = 0;
             let failed = false;
             Module._load = (name, ...more) => {
                 const loaded = load(name, ...more);
                 if (name !== 'koffi') return loaded;
                 const errno = () => (failed ? answer.errno : loaded.errno());
                 const library = file => {
                     const { func } = loaded.load(file);
                     return {
                         func: definition => {
                             const call = loaded.load(file).func(definition);
                             if (!definition.startsWith('int ioctl(')) return call;
                             return (fd, request, argument) => {
                                 failed =
                                     request === answer.request &&
                                     (answer.argument === undefined || argument === answer.argument) &&
                                     ++calls >= (answer.call ?? 1);
                                 return failed ? answer.result : call(fd, request, argument);
                             };
                         },
                     };
                 };
                 return { ...loaded, errno, load: library };
             };`,
        );
        return file;
    }

    const runOn = (
        answer: Answer,
        ...more: readonly string[]
    ): Promise<{ readonly status: number; readonly errors: string; readonly output: string }> =>
        runCli(
            ['run', '--kernel', sampleElf, '--memory', '32M', '--timeout', '40', ...more],
            ['--require', hostThatAnswers(answer)],
        );

    const CASES: readonly (readonly [what: string, answer: Answer, words: RegExp])[] = [
        [
            'a capability that is missing',
            { request: Ioctl.CheckExtension, argument: Capability.UserSpaceMsr, result: 0 },
            /^hyperscope: engine 'kvm': this kernel's KVM lacks KVM_CAP_X86_USER_SPACE_MSR: Linux 5\.10 or later/,
        ],
        [
            'no memory for a machine',
            { request: Ioctl.CreateVm, result: -1, errno: 12 },
            /^hyperscope: KVM_CREATE_VM failed with ENOMEM: the host has no memory left for it$/m,
        ],
        [
            'a vCPU that there is already',
            { request: Ioctl.CreateVcpu, result: -1, errno: 17 },
            /^hyperscope: .*KVM_CREATE_VCPU failed with EEXIST: it exists already.*\(vCPU 0\)$/m,
        ],
        [
            'memory that is refused',
            { request: Ioctl.SetUserMemoryRegion, result: -1, errno: 22 },
            /^hyperscope: .*KVM_SET_USER_MEMORY_REGION failed with EINVAL: .*\(guest memory at 0x0, 0x[0-9a-f]+ bytes\)$/m,
        ],
        [
            'only some of the MSRs taken',
            { request: Ioctl.SetMsrs, result: 2 },
            /^hyperscope: .*KVM_SET_MSRS failed with EINVAL: .*2 of \d+ MSRs went through; it stopped at 0x176\)$/m,
        ],
        [
            'a KVM_RUN that fails after many',
            { request: Ioctl.Run, call: 100, result: -1, errno: 14 },
            /^hyperscope: vCPU 0 cannot go on: KVM_RUN failed with EFAULT: .*\(vCPU 0\)$/m,
        ],
    ];
    for (const [what, answer, words] of CASES) {
        it(`end a run with the request, the error and what it means: ${what}`, async () => {
            const { status, errors } = await runOn(answer, '--engine', 'kvm');
            assert.match(errors, words);
            assert.ok(status !== 0);
            assert.doesNotMatch(errors, /\bat .*\.js:\d/, 'a stack trace is no message');
        });
    }

    it('have the translator execute the guest where the engine is left to us', async () => {
        const answer = { request: Ioctl.CheckExtension, argument: Capability.UserSpaceMsr, result: 0 };
        const { status, errors, output } = await runOn(answer, '--engine', 'auto');
        assert.equal(status, 0);
        assert.match(
            errors,
            /^hyperscope: engine: translator, since this kernel's KVM lacks KVM_CAP_X86_USER_SPACE_MSR: /,
        );
        assert.equal(output, sampleOutput('pvh', { memory: 32 }) + SAMPLE_END);
    });

    describe('leave a session usable', () => {
        let client: InProcessClient | undefined;
        const { handle } = ExitHandler.prototype;
        const { begun } = VcpuThread.prototype;
        afterEach(async () => {
            Object.assign(ExitHandler.prototype, { handle });
            Object.assign(VcpuThread.prototype, { begun });
            await client?.close();
            client = undefined;
        });

        const atCollatz = async (cpus: number): Promise<InProcessClient> => {
            client = new InProcessClient();
            await client.launch({ kernel: sampleElf, memory: '32M', engine: 'kvm', cpus });
            await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'collatz' }] });
            await client.run('configurationDone', {});
            assert.equal((await client.run('continue')).reason, 'function breakpoint');
            await client.request('setFunctionBreakpoints', { breakpoints: [] });
            return client;
        };
        /** Views of what has stopped can be had. */
        const assertReadable = async (session: InProcessClient, threadId: number): Promise<void> => {
            const { threads } = await session.request<{ threads: readonly unknown[] }>('threads');
            assert.ok(threads.length > 0);
            const { stackFrames } = await session.request<{ stackFrames: readonly { id: number }[] }>('stackTrace', {
                threadId,
            });
            assert.ok(stackFrames.length > 0);
            const { data } = await session.request<{ data: string }>('readMemory', {
                memoryReference: 'phys:0x100000',
                count: 16,
            });
            assert.equal(Buffer.from(data, 'base64').length, 16);
            const { result } = await session.request<{ result: string }>('evaluate', {
                expression: '$rip',
                frameId: stackFrames[0].id,
            });
            assert.match(result, /0x/);
        };
        const output = (session: InProcessClient): string =>
            session
                .said('output')
                .filter(({ category }) => category === 'stdout')
                .map(({ output }) => String(output))
                .join('');

        for (const cpus of [1, 2]) {
            it(`with ${cpus} vCPUs, when KVM tells of an internal error`, async () => {
                const session = await atCollatz(cpus);
                ExitHandler.prototype.handle = function (vcpu) {
                    ExitHandler.prototype.handle = handle;
                    const { view, run } = vcpu;
                    view.setUint32(run + RunOffset.exitReason, ExitReason.InternalError, true);
                    view.setUint32(run + InternalErrorExit.suberror, 2, true);
                    view.setUint32(run + InternalErrorExit.dataCount, 1, true);
                    view.setBigUint64(run + InternalErrorExit.data, 0xdn, true);
                    return handle.call(this, vcpu);
                };
                const stop = await session.run('continue');
                assert.equal(stop.reason, 'exception');
                assert.match(String(stop.text), /KVM_EXIT_INTERNAL_ERROR, suberror 2: .*\(data 0xd\)/);
                await assertReadable(session, Number(stop.threadId));
                const { engine } = await session.request<EngineBody>('hyperscope/engine');
                assert.equal(engine, 'kvm');
            });
        }

        it('when the thread of a vCPU has ended: the guest goes on on the translator', async () => {
            const threads: VcpuThread[] = [];
            VcpuThread.prototype.begun = function () {
                begun.call(this);
                threads.push(this);
            };
            const session = await atCollatz(2);
            assert.equal(threads.length, 2);
            await (threads[0] as unknown as { worker: { terminate(): Promise<number> } }).worker.terminate();

            const stop = await session.run('continue');
            assert.equal(stop.reason, 'exception');
            assert.match(String(stop.text), /the thread of vCPU 0 has ended; the guest can go on on the translator/);
            await assertReadable(session, Number(stop.threadId));
            const ended = session.next('terminated');
            await session.request('hyperscope/switchEngine', { engine: 'translator', resume: true });
            await ended;
            assert.equal(output(session), sampleOutput('pvh', { memory: 32, cpus: 2 }) + SAMPLE_END);
        });
    });
});

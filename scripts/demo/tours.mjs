/** What the demonstration does with a guest, step by step. */
import path from 'node:path';
import { SAMPLE_FOLDER } from '../sample-guest.mjs';

/** What breaks a tour: a guest that does not do what the tour is about. */
export class TourError extends Error {}

/** Scopes of a function's parameters and variables. */
const VARIABLES = /^(arguments|locals)$/i;

const WORKLOAD = path.join(SAMPLE_FOLDER, 'kernel', 'workload.c');

const IN_LONG_MODE = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'rflags', 'cr0', 'cr3', 'cr4'];

/** The sample guest, from its reset vector to its end. */
export async function tourSample(session) {
    session.title('The reset vector');
    const entry = await session.launch({
        firmware: path.join(SAMPLE_FOLDER, 'sample.rom'),
        symbols: [path.join(SAMPLE_FOLDER, 'sample.elf')],
        memory: '64M',
    });
    await session.showStop(entry);
    await session.showRegisters('cs', 'eip', 'cr0');
    session.say('one instruction further, still in real mode:');
    await session.showStop(await session.run('stepIn', { granularity: 'instruction' }));

    session.title('Breakpoints set before their code is loaded');
    await session.breakAt(
        { name: 'protected_main' },
        { name: 'kernel_main' },
        { name: 'hanoi', condition: 'disks == 4' },
    );
    await continueTo(session, 'protected_main');
    await session.showRegisters('cs', 'cr0', 'esp');
    await continueTo(session, 'kernel_main');

    session.title('Machine events: the guest says where SYSCALL leads');
    await stopAtEvents(session, { filterId: 'msrWrite', condition: 'msr == 0xc0000082' });
    await session.showStop(await session.run('continue'));
    await stopAtEvents(session);

    session.title('A condition: hanoi, when it moves a tower of 4 disks');
    await continueTo(session, 'hanoi');
    await session.showStack();
    await session.showScope(VARIABLES);

    session.title('Registers');
    await session.showRegisters(...IN_LONG_MODE);

    session.title('A breakpoint on a line of C');
    await session.breakAt();
    await session.breakAtLine(WORKLOAD, 'last_move = ');
    await session.showStop(await session.run('continue'));
    await session.clearLines(WORKLOAD);

    session.title('Steps');
    for (let count = 0; count < 3; count++) {
        await session.run('next', { granularity: 'instruction' });
        await session.showInstructions(1);
    }
    session.say('and out of the function:');
    await session.showStop(await session.run('stepOut'));

    session.title('A data breakpoint: the write that makes moves 100');
    await session.watch({ name: 'moves', accessType: 'write', condition: 'moves == 100' });
    await session.showStop(await session.run('continue'));
    await session.showStack();
    await session.watch();

    session.title('Where the code is: a page walk');
    await session.showWalk('rip', 'execute');

    session.title('A page fault, before the guest knows');
    await session.breakAt();
    await stopAtEvents(session, { filterId: 'pf' });
    const fault = await session.run('continue');
    await session.showStop(fault);
    const place = /writing (0x[0-9a-f]+)/.exec(fault.text ?? '')?.[1];
    if (place === undefined) throw new TourError(`the guest was to write to a page that is absent, not: ${fault.text}`);
    const faulting = `0x${(await session.number('pc')).toString(16)}`;
    await session.showWalk(place, 'write');
    session.say('');
    session.say('and at the same instruction again, once the guest has handled it:');
    await stopAtEvents(session);
    await session.request('setInstructionBreakpoints', { breakpoints: [{ instructionReference: faulting }] });
    await session.showStop(await session.run('continue'));
    await session.showWalk(place, 'write');
    await session.request('setInstructionBreakpoints', { breakpoints: [] });

    session.title('User mode, with page tables of its own');
    await session.breakAt({ name: 'user_hello' });
    await continueTo(session, 'user_hello');
    await session.showRegisters('cs', 'cr3', 'rsp');
    await session.showWalk('rsp - 8', 'write');

    session.title('Memory');
    session.say('virtual, at RIP:');
    await session.showMemory(`0x${(await session.number('rip')).toString(16)}`, 32);
    session.say('physical, where real mode had its messages:');
    await session.showMemory(`phys:0x${(await session.number('`greeting`')).toString(16)}`, 48);

    session.title('VM exits: what a hypervisor would have seen');
    await session.showExits(10);

    session.title('To the end');
    await session.breakAt();
    await session.showStop(await session.run('continue'));
    if (session.exitCode !== 0) throw new TourError(`the sample guest ended with ${session.exitCode}, not with 0`);
}

function stopAtEvents(session, ...filterOptions) {
    return session.request('setExceptionBreakpoints', { filters: [], filterOptions });
}

async function continueTo(session, name) {
    const stop = await session.run('continue');
    await session.showStop(stop);
    const [{ name: top }] = stop.name === 'terminated' ? [{ name: 'its end' }] : await session.frames();
    if (!top.startsWith(name)) throw new TourError(`the guest was to stop at ${name} and came to ${top}`);
}

/** Any guest: its first instructions, and what it does at a function or after some seconds. */
export async function tourGuest(session, { attributes, seconds, functionName }) {
    session.title('The first instruction');
    await session.showStop(await session.launch(attributes));
    await session.showInstructions(5);
    await session.showStop(await session.run('stepIn', { granularity: 'instruction' }));

    session.title(functionName === undefined ? `${seconds} seconds later` : `A breakpoint at ${functionName}`);
    if (functionName !== undefined) await session.breakAt({ name: functionName });
    const stop = session.client.next('stopped', 'terminated');
    await session.request('continue', { threadId: 1 });
    const pause = () => session.request('pause', { threadId: 1 }).catch(() => undefined);
    const timer = functionName === undefined ? setTimeout(pause, seconds * 1000) : undefined;
    const reached = await stop;
    clearTimeout(timer);
    await session.showStop(reached);
    if (reached.name === 'terminated') return;
    await session.showInstructions(5);

    session.title('Stack');
    await session.showStack();
    await session.showScope(VARIABLES);

    session.title('Registers');
    await session.showScope(/^General$/, () => true, 3);

    session.title('Where the code is: a page walk');
    await session.showWalk('pc', 'execute');

    session.title('Memory at the stack pointer');
    await session.showMemory(`0x${(await session.number('rsp')).toString(16)}`, 64);

    session.title('VM exits: what a hypervisor would have seen');
    await session.showExits(12);
}

/** The thread of a vCPU: does one KVM_RUN after the other as it is told (`vcpu-thread.ts`). */
import { workerData } from 'node:worker_threads';
import { Ioctl } from './abi';
import { lastErrno, rawIoctl, ThreadSignal } from './libc';
import { BELL, END_THREAD, FAILED_THREAD, ThreadCell, type ThreadTask } from './vcpu-thread-cells';

const { words: buffer, at, vcpu, problem } = workerData as ThreadTask;
const words = new Int32Array(buffer);
const signal = begin();
if (signal !== undefined) {
    execute(signal);
}

/** Tells the machine's thread, which waits, that this one is there, or why it cannot be. */
function begin(): ThreadSignal | undefined {
    let made: ThreadSignal | undefined;
    try {
        made = new ThreadSignal();
    } catch (error) {
        Buffer.from(problem).write(error instanceof Error ? error.message : String(error));
    }
    Atomics.store(words, at + ThreadCell.thread, made?.thread ?? FAILED_THREAD);
    Atomics.notify(words, at + ThreadCell.thread);
    return made;
}

function execute(signal: ThreadSignal): void {
    for (let last = 0; ;) {
        let command = Atomics.load(words, at + ThreadCell.command);
        for (let looks = words[at + ThreadCell.patience]; command === last && looks > 0; looks--) {
            command = Atomics.load(words, at + ThreadCell.command);
        }
        if (command === last) {
            Atomics.wait(words, at + ThreadCell.command, last);
            continue;
        }
        if (command === END_THREAD) {
            break;
        }
        last = command;
        if (Atomics.load(words, at + ThreadCell.drain) !== 0) signal.consume();
        const failed = rawIoctl(vcpu, Ioctl.Run, 0) < 0;
        Atomics.store(words, at + ThreadCell.errno, failed ? lastErrno() : 0);
        Atomics.store(words, at + ThreadCell.done, command);
        Atomics.add(words, BELL, 1);
        Atomics.notify(words, BELL);
    }
}

/** The thread of a vCPU: does one KVM_RUN after the other as it is told (`vcpu-thread.ts`). */
import { workerData } from 'node:worker_threads';
import { Ioctl } from './abi';
import { lastErrno, rawIoctl, ThreadSignal } from './libc';
import { BELL, END_THREAD, ThreadCell, type ThreadTask } from './vcpu-thread-cells';

const { words: buffer, at, vcpu } = workerData as ThreadTask;
const words = new Int32Array(buffer);
const signal = new ThreadSignal();

Atomics.store(words, at + ThreadCell.thread, signal.thread);
Atomics.notify(words, at + ThreadCell.thread);
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

/** The sample guest (media/sample-guest), as tests use it. */
import path from 'node:path';
import { projectRoot } from './project';

export const sampleFolder = path.join(projectRoot, 'media', 'sample-guest');
export const sampleElf = path.join(sampleFolder, 'sample.elf');
export const sampleRom = path.join(sampleFolder, 'sample.rom');

export type SampleStart = 'reset' | 'pvh';

const STARTED = { reset: 'started at the reset vector', pvh: 'started as a PVH kernel' };

/** What the workload prints, the first time that it runs. */
const WORKLOAD = [
    'timer: 20 ticks have passed',
    'recursion: 127 moves, the last one of disk 1 from 0 to 2',
    'lazy memory: 16 page faults, sum 51',
    'threads: of 12 numbers 27 takes most steps, 111, and reaches 9232',
    'hello from ring 3',
    'hello from ring 3',
    'user mode: hello made 6 system calls and ended with 48',
    'task crash killed: write of 14, which is not mapped',
    'user mode: crash ended with -14',
    'pages: 49 allocated, 22 released, 23 page faults handled',
];

/** Everything that the guest prints, up to what it does after its workload. */
export function sampleOutput(start: SampleStart, { memory = 64, cpus = 1 } = {}): string {
    const lines = [
        'Hyperscope sample guest',
        `real mode: ${STARTED[start]}`,
        'protected mode: going on to long mode',
        `long mode: ${memory} MiB of memory`,
        'paging: 8 tables, kernel at ffffffff80101000',
        `processors: ${cpus}, together they found 44608256`,
        ...WORKLOAD,
    ];
    return lines.map(line => `${line}\r\n`).join('');
}

export const SAMPLE_END = 'power off\r\n';

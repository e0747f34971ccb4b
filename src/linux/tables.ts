/** What a kernel has besides tasks, as tables: modules, mounts, network devices, interrupts, timers, slab caches, vmalloc. */
import { interruptTable } from './interrupts';
import { moduleTable } from './module-table';
import { mountTable } from './mounts';
import { networkTable } from './network';
import { slabTable } from './slabs';
import type { TableReader } from './table';
import { timerTable } from './timers';
import { vmallocTable } from './vmalloc';

export const TABLES = {
    modules: moduleTable,
    mounts: mountTable,
    network: networkTable,
    interrupts: interruptTable,
    timers: timerTable,
    slabs: slabTable,
    vmalloc: vmallocTable,
} satisfies Readonly<Record<string, TableReader>>;

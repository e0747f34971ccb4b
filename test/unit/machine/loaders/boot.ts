/** Kernels loaded as a machine does it, and what came of it. */
import assert from 'node:assert/strict';
import { LoadError } from '../../../../src/machine/errors';
import type { BootRequest } from '../../../../src/machine/loaders/boot-context';
import type { Gpr, InitialCpuState } from '../../../../src/machine/loaders/initial-state';
import { loadKernel, type LoadOptions } from '../../../../src/machine/loaders/load';
import { bootContext, cpio } from '../images';

export const MIB = 0x100000;

export function request(data: Uint8Array, more: Partial<BootRequest> = {}): BootRequest {
    return { kernel: { name: 'vmlinuz', data }, modules: [], commandLine: 'console=ttyS0', ...more };
}

export function boot(wanted: BootRequest, mebibytes = 32, options: LoadOptions = {}) {
    const { memory, context } = bootContext(mebibytes);
    const loaded = loadKernel(wanted, context, options);
    assert.equal(loaded.via, 'entry');
    const state = (loaded as { state: InitialCpuState }).state;
    const gpr = (register: Gpr): number => state.gprs.find(([number]) => number === register)?.[1] ?? 0;
    return { memory, state, gpr };
}

export function refusal(run: () => unknown): LoadError {
    try {
        run();
    } catch (error) {
        assert.ok(error instanceof LoadError, String(error));
        assert.ok(!error.message.includes('\n'));
        return error;
    }
    return assert.fail('was not refused');
}

/** What an option ROM has fw_cfg's DMA do: the table that its boot code goes through. */
export function transfers(rom: Uint8Array): { control: number; length: number; address: number }[] {
    const view = new DataView(rom.buffer, rom.byteOffset);
    const [table, count] = [view.getUint32(0x62, true), view.getUint16(0x6a, true)];
    return Array.from({ length: count }, (_, index) => {
        const at = table + 16 * index;
        return {
            control: view.getUint32(at),
            length: view.getUint32(at + 4),
            address: Number(view.getBigUint64(at + 8)),
        };
    });
}

export const INITRD = { name: 'initrd.img', data: cpio([['init', 'echo']]) };

/** Breakpoints and watchpoints in Debian's kernel, set before it is there: they bind, and the guest never knows. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { MachineTarget } from '../../src/debug/machine-target';
import type { Stop } from '../../src/debug/target';
import { readElfSymbols } from '../../src/symbols/elf';
import { SymbolTable } from '../../src/symbols/symbol-table';
import { debugKernel, guestsDirectory, needs } from '../support/requirements';
import { LinuxGuest, linuxFiles } from './support/linux';

const COMMAND_LINE = 'console=ttyS0 nokaslr hs.exit';

describe('breakpoints in Linux', function () {
    this.timeout(400_000);
    let symbols: SymbolTable;

    before(function () {
        needs(this, linuxFiles, debugKernel);
        symbols = new SymbolTable();
        symbols.add(readElfSymbols('vmlinux', readFileSync(path.join(guestsDirectory, 'vmlinux-cloud'))));
    });

    const address = (name: string): bigint => {
        const [symbol] = symbols.named(name);
        assert.ok(symbol !== undefined, name);
        return symbol.address;
    };

    it('are met in the kernel that unpacks itself, and change nothing of its boot', async () => {
        const plain = new LinuxGuest({ commandLine: COMMAND_LINE });
        plain.runToEnd(100_000_000);

        const guest = new LinuxGuest({ commandLine: COMMAND_LINE });
        const target = new MachineTarget(guest.machine, symbols, {
            now: () => performance.now(),
            yield: () => new Promise(resolve => setImmediate(resolve)),
            sleep: milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds)),
        });
        const stops: string[] = [];
        const end = new Promise<void>((resolve, reject) => {
            target.listener = {
                stopped: (stop: Stop) => {
                    stops.push(`${stop.reason} ${stop.breakpoints?.join()}`);
                    target.resume().catch(reject);
                },
                ended: () => resolve(),
                logged: text => stops.push(text),
                failed: reject,
            };
        });
        const statuses = await target.setBreakpoints([
            { id: 1, address: address('start_kernel') },
            { id: 2, address: address('kmem_cache_alloc'), condition: 'rsi == 0x12345678 && u64[rsp] != 0' },
            { id: 3, address: address('mpihelp_addmul_1') + 0x38n, condition: 'rax == 0x1234567' },
            { id: 4, address: address('memcpy'), hitCondition: '900000000' },
            { id: 5, address: address('kernel_init'), logMessage: 'init at {pc}' },
        ]);
        const watched = await target.setWatchpoints([
            { id: 6, space: 'linear', address: address('jiffies_64'), length: 8, kind: 'write', hitCondition: '100' },
            {
                id: 7,
                space: 'linear',
                address: address('init_task'),
                length: 64,
                kind: 'readWrite',
                condition: 'now == 0x123456789abcdef',
            },
        ]);
        assert.ok([...statuses, ...watched].every(({ problem }) => problem === undefined));
        await target.resume();
        await end;

        const kernelInit = `init at 0x${address('kernel_init').toString(16)}`;
        assert.deepEqual(stops, ['breakpoint 1', kernelInit, 'watchpoint 6']);
        assert.equal(guest.machine.engine.retired(), plain.machine.engine.retired());
        assert.equal(guest.machine.stateHash(), plain.machine.stateHash());
        assert.equal(guest.console, plain.console);
    });
});

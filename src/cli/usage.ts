/** The command line's own words: help and argument errors. */
import { writeFileSync } from 'node:fs';

/** Arguments or files that cannot be used: exit status 2, one line, no stack trace. */
export class UsageError extends Error {}

/**
 * Writes a file that an option names.
 * @throws UsageError
 */
export function writeText(option: string, path: string, text: string): void {
    try {
        writeFileSync(path, text);
    } catch (error) {
        throw new UsageError(`${option} ${path}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
    }
}

export const HELP = `Usage: hyperscope <command> [options]

Commands
  run       run a guest; see below
  lockstep  run a guest on the translator and on KVM, instruction by instruction, up to where they differ
  dap       debug adapter (Debug Adapter Protocol) on standard input and output,
            or with --listen [HOST:]PORT for clients that connect (loopback unless told)
  help      this text (--version tells the version)

hyperscope run --sample | --kernel FILE | --firmware FILE [options]
  --sample           the sample guest that comes with Hyperscope: some 20 lines, then it powers off
  --kernel FILE      Linux bzImage, ELF kernel with a PVH note, or Multiboot 1 kernel
  --initrd FILE      initial RAM disk; for Multiboot, modules: 'FILE ARGUMENTS,FILE ...'
  --append STRING    kernel command line
  --firmware FILE    ROM image at the reset vector, e.g. SeaBIOS
  --memory SIZE      guest RAM: 64M, 1G, ... (default 256M)
  --cpus N           vCPUs, 1 to 64 (default 1)
  --serial TARGET    first serial port: stdio (default), none, or a file for its output
  --timeout SECONDS  stop after so many seconds of host time
  --no-reboot        a guest that resets the machine ends the run
  --stats FILE       write statistics as JSON
  --exits FILE       write what a hypervisor would see of the guest, one exit a line; as JSON if FILE ends in .jsonl
  --save FILE        save the machine's state: at Ctrl-A S or SIGUSR2, after which the guest goes on, and when the
                     run is ended by Ctrl-A X, a signal or the timeout
  --restore FILE     continue from a saved state, with the options of the run that saved it
  --real-time        guest time follows the host's clock instead of counting instructions
  --interpret        do not translate: interpreter tier only
  --engine NAME      what executes the guest: translator (default), kvm (/dev/kvm), or auto (kvm if this host has
                     a fast one)
  --no-vcpu-threads  on kvm: vCPUs take turns on one thread, instead of running at the same time on one each
  --gdb [HOST:]PORT  let gdb attach: target remote HOST:PORT (loopback unless told); monitor help tells the rest
  --wait             with --gdb: the guest waits at its first instruction for gdb

hyperscope lockstep --kernel FILE | --firmware FILE | --random SEED [options]
  --random SEED      random instructions instead of a guest
  --bits 16|32|64    the code that these are in (default 64)
  --float            most of them are of x87, MMX and SSE
  --user             at CPL 3; compared at the end of each stream of some 40 instructions
  --instructions N   stop after so many (default 1000000)
  --except NAMES     instructions whose results are taken from the translator: SYSCALL,SWAPGS
  --initrd, --append, --memory, --cpus as above; exit status 1 for a difference

On a terminal, Ctrl-A X ends the run, Ctrl-A S saves (see --save), and Ctrl-A Ctrl-A sends one Ctrl-A.

Exit status
  0    the guest powered off (or reset, with --no-reboot)
  2    unusable arguments or files
  3    triple fault; a report says what was executing and why
  4    the engine cannot go on; a line says why
  124  timeout; also if the guest ended before, but not all that it printed was read in time
  130  ended by Ctrl-A X or a signal
  141  standard output was closed
  other odd values: the guest's debug exit (port 0xf4), 2 * value + 1, as QEMU's isa-debug-exit gives it
`;

/** VM exits as data: what KVM's exit records say (Linux, Documentation/virt/kvm/api.rst, section 5). */
import {
    DebugExit,
    ExceptionExit,
    ExitReason,
    HardwareExit,
    InternalErrorExit,
    IoExit,
    MmioExit,
    MsrExit,
    RunOffset,
    SystemEventExit,
} from './abi';

/** One exit, decoded. Values of up to 64 bits are bigint. */
export type KvmExit =
    | {
          readonly kind: 'io';
          readonly write: boolean;
          readonly port: number;
          readonly size: number;
          /** Transfers of a repeated instruction that came at once. */
          readonly count: number;
          /** The first one's value; of a read, all ones until it has been answered. */
          readonly value: number;
      }
    | {
          readonly kind: 'mmio';
          readonly write: boolean;
          readonly address: number;
          readonly size: number;
          readonly value: bigint;
      }
    | { readonly kind: 'msr'; readonly write: boolean; readonly index: number; readonly value: bigint }
    | { readonly kind: 'hlt' | 'shutdown' | 'interruptWindow' | 'interrupted' | 'taskPriority' | 'nmi' }
    | { readonly kind: 'debug'; readonly exception: number; readonly pc: bigint; readonly dr6: bigint }
    | InternalError
    | { readonly kind: 'failEntry'; readonly reason: bigint; readonly cpu: number }
    | { readonly kind: 'unknown'; readonly reason: bigint }
    | { readonly kind: 'exception'; readonly vector: number; readonly errorCode: number }
    | { readonly kind: 'systemEvent'; readonly type: number }
    | { readonly kind: 'other'; readonly reason: number };

export interface InternalError {
    readonly kind: 'internalError';
    readonly suberror: Suberror;
    readonly data: readonly bigint[];
    /** The instruction that KVM could not emulate, where it says. */
    readonly instruction?: Uint8Array;
}

/** `kvm_run.internal.suberror`. */
export const enum Suberror {
    Emulation = 1,
    SimultaneousExceptions = 2,
    DeliverEvent = 3,
    UnexpectedExitReason = 4,
}

const MOST_DATA = 16;
const INSTRUCTION_BYTES_VALID = 1n;

/** Reads the exit out of a `kvm_run` page. */
export function decodeExit(view: DataView, run: number): KvmExit {
    const reason = view.getUint32(run + RunOffset.exitReason, true);
    switch (reason) {
        case ExitReason.Io: {
            const size = view.getUint8(run + IoExit.size);
            const data = run + Number(view.getBigUint64(run + IoExit.dataOffset, true));
            return {
                kind: 'io',
                write: view.getUint8(run + IoExit.direction) === 1,
                port: view.getUint16(run + IoExit.port, true),
                size,
                count: view.getUint32(run + IoExit.count, true),
                value:
                    size === 1
                        ? view.getUint8(data)
                        : size === 2
                          ? view.getUint16(data, true)
                          : view.getUint32(data, true),
            };
        }
        case ExitReason.Mmio: {
            const size = view.getUint32(run + MmioExit.length, true);
            return {
                kind: 'mmio',
                write: view.getUint8(run + MmioExit.isWrite) !== 0,
                address: Number(view.getBigUint64(run + MmioExit.address, true)),
                size,
                value: BigInt.asUintN(8 * Math.min(8, size), view.getBigUint64(run + MmioExit.data, true)),
            };
        }
        case ExitReason.X86Rdmsr:
        case ExitReason.X86Wrmsr:
            return {
                kind: 'msr',
                write: reason === ExitReason.X86Wrmsr,
                index: view.getUint32(run + MsrExit.index, true),
                value: view.getBigUint64(run + MsrExit.data, true),
            };
        case ExitReason.Hlt:
            return { kind: 'hlt' };
        case ExitReason.Shutdown:
            return { kind: 'shutdown' };
        case ExitReason.IrqWindowOpen:
            return { kind: 'interruptWindow' };
        case ExitReason.Intr:
            return { kind: 'interrupted' };
        case ExitReason.SetTpr:
            return { kind: 'taskPriority' };
        case ExitReason.Nmi:
            return { kind: 'nmi' };
        case ExitReason.Debug:
            return {
                kind: 'debug',
                exception: view.getUint32(run + DebugExit.exception, true),
                pc: view.getBigUint64(run + DebugExit.pc, true),
                dr6: view.getBigUint64(run + DebugExit.dr6, true),
            };
        case ExitReason.InternalError:
            return decodeInternalError(view, run);
        case ExitReason.FailEntry:
            return {
                kind: 'failEntry',
                reason: view.getBigUint64(run + HardwareExit.reason, true),
                cpu: view.getUint32(run + HardwareExit.cpu, true),
            };
        case ExitReason.Unknown:
            return { kind: 'unknown', reason: view.getBigUint64(run + HardwareExit.reason, true) };
        case ExitReason.Exception:
            return {
                kind: 'exception',
                vector: view.getUint32(run + ExceptionExit.vector, true),
                errorCode: view.getUint32(run + ExceptionExit.errorCode, true),
            };
        case ExitReason.SystemEvent:
            return { kind: 'systemEvent', type: view.getUint32(run + SystemEventExit.type, true) };
        default:
            return { kind: 'other', reason };
    }
}

function decodeInternalError(view: DataView, run: number): InternalError {
    const suberror: Suberror = view.getUint32(run + InternalErrorExit.suberror, true);
    const count = Math.min(MOST_DATA, view.getUint32(run + InternalErrorExit.dataCount, true));
    const data = Array.from({ length: count }, (_, index) =>
        view.getBigUint64(run + InternalErrorExit.data + index * 8, true),
    );
    if (suberror !== Suberror.Emulation || count < 1 || (data[0] & INSTRUCTION_BYTES_VALID) === 0n) {
        return { kind: 'internalError', suberror, data };
    }
    const size = Math.min(15, view.getUint8(run + InternalErrorExit.instructionSize));
    const instruction = Uint8Array.from({ length: size }, (_, index) =>
        view.getUint8(run + InternalErrorExit.instructionBytes + index),
    );
    return { kind: 'internalError', suberror, data, instruction };
}

const SUBERRORS: ReadonlyMap<number, string> = new Map([
    [Suberror.Emulation, 'it cannot emulate the instruction'],
    [Suberror.SimultaneousExceptions, 'an exception came up while it handled another one'],
    [Suberror.DeliverEvent, 'an exit came up while the processor delivered an event'],
    [Suberror.UnexpectedExitReason, 'the processor left the guest for a reason that it does not know'],
]);

/** VM-entry failures of VT-x by the low 16 bits of the reason (SDM Vol. 3, 27.8, appendix C). */
const ENTRY_FAILURES: ReadonlyMap<number, string> = new Map([
    [33, 'the guest state is invalid'],
    [34, 'the MSRs could not be loaded'],
    [41, 'a machine check came during entry'],
]);

/** What an exit that the guest cannot go on from means, in one line. */
export function explainExit(exit: KvmExit): string {
    switch (exit.kind) {
        case 'internalError': {
            const what = SUBERRORS.get(exit.suberror) ?? 'for a reason that this version does not know';
            const bytes = exit.instruction === undefined ? '' : `, at ${hexBytes(exit.instruction)}`;
            const data = exit.data.map(value => `0x${value.toString(16)}`).join(' ');
            return `KVM_EXIT_INTERNAL_ERROR, suberror ${exit.suberror}: ${what}${bytes}${data === '' ? '' : ` (data ${data})`}`;
        }
        case 'failEntry': {
            const basic = Number(exit.reason & 0xffffn);
            const what = ENTRY_FAILURES.get(basic);
            const words = what === undefined ? '' : `: ${what}`;
            return `KVM_EXIT_FAIL_ENTRY on host CPU ${exit.cpu}, hardware reason 0x${exit.reason.toString(16)}${words}`;
        }
        case 'unknown':
            return `KVM_EXIT_UNKNOWN, hardware exit reason 0x${exit.reason.toString(16)}`;
        case 'exception':
            return `KVM_EXIT_EXCEPTION, vector ${exit.vector}, error code 0x${exit.errorCode.toString(16)}`;
        case 'systemEvent':
            return `KVM_EXIT_SYSTEM_EVENT of type ${exit.type}`;
        case 'other':
            return `KVM exit reason ${exit.reason}, which this version does not know`;
        default:
            return `KVM exit '${exit.kind}'`;
    }
}

function hexBytes(bytes: Uint8Array): string {
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ');
}

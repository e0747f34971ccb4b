/** Whether this host's KVM can run the machine, and what it offers. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { Capability, Ioctl, KVM_API_VERSION } from './abi';
import { KvmError, KvmUnavailableError } from './errors';
import { closeDescriptor, ioctl, openDevice } from './libc';

export const DEVICE = '/dev/kvm';

/** Without these the machine cannot be run at all: all of them are in Linux 4.17 and later. */
const REQUIRED: readonly (readonly [Capability, string])[] = [
    [Capability.UserMemory, 'KVM_CAP_USER_MEMORY'],
    [Capability.ReadonlyMem, 'KVM_CAP_READONLY_MEM'],
    [Capability.ImmediateExit, 'KVM_CAP_IMMEDIATE_EXIT'],
    [Capability.SyncRegs, 'KVM_CAP_SYNC_REGS'],
    [Capability.VcpuEvents, 'KVM_CAP_VCPU_EVENTS'],
    [Capability.DebugRegs, 'KVM_CAP_DEBUGREGS'],
    [Capability.Xsave, 'KVM_CAP_XSAVE'],
    [Capability.UserSpaceMsr, 'KVM_CAP_X86_USER_SPACE_MSR'],
    [Capability.MsrFilter, 'KVM_CAP_X86_MSR_FILTER'],
];

/** What a KVM offers beyond the required. */
export interface KvmCapabilities {
    readonly maxVcpus: number;
    readonly guestDebug: boolean;
    /** Bits of `kvm_guest_debug.control` that are known. */
    readonly guestDebugFlags: number;
    readonly tscControl: boolean;
    readonly vcpuAttributes: boolean;
    readonly xcrs: boolean;
    readonly sregs2: boolean;
    readonly statistics: boolean;
    readonly exitOnEmulationFailure: boolean;
}

/**
 * Opens /dev/kvm and looks at what it offers.
 * @throws KvmUnavailableError that says why not, and what to do
 */
export function openKvm(): { readonly fd: number; readonly capabilities: KvmCapabilities } {
    const fd = open();
    try {
        const version = ioctl(fd, Ioctl.GetApiVersion);
        if (version !== KVM_API_VERSION) {
            throw new KvmUnavailableError(
                `${DEVICE} speaks version ${version} of its interface, not ${KVM_API_VERSION}`,
            );
        }
        const has = (capability: Capability): number => ioctl(fd, Ioctl.CheckExtension, capability);
        const missing = REQUIRED.filter(([capability]) => has(capability) === 0).map(([, name]) => name);
        if (missing.length > 0) {
            throw new KvmUnavailableError(
                `this kernel's KVM lacks ${missing.join(', ')}: Linux 5.10 or later has them; the translator runs anywhere`,
            );
        }
        return {
            fd,
            capabilities: {
                maxVcpus: has(Capability.MaxVcpus) || 4,
                guestDebug: has(Capability.SetGuestDebug) !== 0,
                guestDebugFlags: has(Capability.SetGuestDebug2),
                tscControl: has(Capability.TscControl) !== 0,
                vcpuAttributes: has(Capability.VcpuAttributes) !== 0,
                xcrs: has(Capability.Xcrs) !== 0,
                sregs2: has(Capability.Sregs2) !== 0,
                statistics: has(Capability.BinaryStatsFd) !== 0,
                exitOnEmulationFailure: has(Capability.ExitOnEmulationFailure) !== 0,
            },
        };
    } catch (error) {
        closeDescriptor(fd);
        throw error;
    }
}

/** Why KVM cannot be used here, in one line, or undefined if it can. */
export function kvmProblem(): string | undefined {
    try {
        closeDescriptor(openKvm().fd);
        return undefined;
    } catch (error) {
        if (error instanceof KvmUnavailableError || error instanceof KvmError) {
            return error.message;
        }
        throw error;
    }
}

function open(): number {
    try {
        return openDevice(DEVICE);
    } catch (error) {
        if (error instanceof KvmError) {
            throw new KvmUnavailableError(explainOpen(error));
        }
        throw error;
    }
}

const ENOENT = 2;
const EPERM = 1;
const EACCES = 13;
const ENODEV = 19;
const EBUSY = 16;

function explainOpen({ errno, message }: KvmError): string {
    switch (errno) {
        case ENOENT:
            return `there is no ${DEVICE}: ${explainMissing(cpuFlags())}`;
        case EACCES:
        case EPERM:
            return `${DEVICE} may not be opened by this user: ${explainPermission()}`;
        case ENODEV:
            return `${DEVICE} has no device behind it: load the module with 'modprobe kvm_intel' or 'modprobe kvm_amd'`;
        case EBUSY:
            return `${DEVICE} is busy: another hypervisor (VirtualBox, VMware) holds the processor's virtualisation`;
        default:
            return message;
    }
}

/** What helps where the device is missing, by what the processor says it can. */
export function explainMissing(flags: ReadonlySet<string>): string {
    if (flags.has('vmx') || flags.has('svm')) {
        const module = flags.has('vmx') ? 'kvm_intel' : 'kvm_amd';
        return `load the module with 'modprobe ${module}' (in a container, pass the device through: --device ${DEVICE})`;
    }
    if (flags.has('hypervisor')) {
        return 'this host is a virtual machine without nested virtualisation: turn that on in its hypervisor';
    }
    return 'the processor shows no VT-x or AMD-V: turn it on in the firmware setup';
}

function cpuFlags(): ReadonlySet<string> {
    try {
        const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'));
        return new Set((line?.[1] ?? '').trim().split(/\s+/));
    } catch {
        return new Set();
    }
}

function explainPermission(): string {
    const name = groupOf(DEVICE);
    return (
        `join the group that owns it ('sudo usermod -aG ${name} $USER', then log in again), ` +
        'or have the device made accessible'
    );
}

function groupOf(path: string): string {
    try {
        const { gid } = statSync(path);
        if (existsSync('/etc/group')) {
            const line = readFileSync('/etc/group', 'utf8')
                .split('\n')
                .find(entry => entry.split(':')[2] === String(gid));
            if (line !== undefined) {
                return line.split(':')[0];
            }
        }
    } catch {
        // The usual name will do.
    }
    return 'kvm';
}

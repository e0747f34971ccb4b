import assert from 'node:assert/strict';
import { KvmError } from '../../../src/kvm/errors';
import { decodeExit, explainExit } from '../../../src/kvm/exits';
import { explainMissing } from '../../../src/kvm/probe';

describe('exits of KVM', () => {
    /** A kvm_run page with an exit reason and what follows at byte 32. */
    const page = (reason: number, fill: (view: DataView) => void): DataView => {
        const view = new DataView(new ArrayBuffer(0x1000));
        view.setUint32(8, reason, true);
        fill(view);
        return view;
    };

    it('are decoded with their data', () => {
        const port = page(2, view => {
            view.setUint8(32, 1);
            view.setUint8(33, 2);
            view.setUint16(34, 0x3f8, true);
            view.setUint32(36, 1, true);
            view.setBigUint64(40, 0x800n, true);
            view.setUint16(0x800, 0x4142, true);
        });
        assert.deepEqual(decodeExit(port, 0), {
            kind: 'io',
            write: true,
            port: 0x3f8,
            size: 2,
            count: 1,
            value: 0x4142,
        });
        const mmio = page(6, view => {
            view.setBigUint64(32, 0xfee000b0n, true);
            view.setBigUint64(40, 0xffff_ffff_1234_5678n, true);
            view.setUint32(48, 4, true);
            view.setUint8(52, 1);
        });
        assert.deepEqual(decodeExit(mmio, 0), {
            kind: 'mmio',
            write: true,
            address: 0xfee000b0,
            size: 4,
            value: 0x12345678n,
        });
        const debug = page(4, view => {
            view.setUint32(32, 1, true);
            view.setBigUint64(40, 0x1000n, true);
            view.setBigUint64(48, 0xffff4ff0n, true);
        });
        assert.deepEqual(decodeExit(debug, 0), { kind: 'debug', exception: 1, pc: 0x1000n, dr6: 0xffff4ff0n });
    });

    it('that end a run are explained, with sub-error, bytes and hardware reason', () => {
        const emulation = page(17, view => {
            view.setUint32(32, 1, true);
            view.setUint32(36, 4, true);
            view.setBigUint64(40, 1n, true);
            view.setUint8(48, 2);
            view.setUint8(49, 0x0f);
            view.setUint8(50, 0x0b);
        });
        assert.match(
            explainExit(decodeExit(emulation, 0)),
            /^KVM_EXIT_INTERNAL_ERROR, suberror 1: it cannot emulate the instruction, at 0f 0b \(data 0x1 /,
        );
        const entry = page(9, view => {
            view.setBigUint64(32, 0x80000021n, true);
            view.setUint32(40, 3, true);
        });
        assert.equal(
            explainExit(decodeExit(entry, 0)),
            'KVM_EXIT_FAIL_ENTRY on host CPU 3, hardware reason 0x80000021: the guest state is invalid',
        );
        assert.equal(
            explainExit(
                decodeExit(
                    page(77, () => undefined),
                    0,
                ),
            ),
            'KVM exit reason 77, which this version does not know',
        );
    });

    it('do not trust the counts that come with them', () => {
        const error = page(17, view => {
            view.setUint32(32, 3, true);
            view.setUint32(36, 0xffffffff, true);
        });
        const exit = decodeExit(error, 0);
        assert.equal(exit.kind === 'internalError' && exit.data.length, 16);
    });
});

describe('failing requests to KVM', () => {
    it('name the request, the error and what it means', () => {
        assert.equal(
            new KvmError('KVM_SET_SREGS', 22, 'segments').message,
            'KVM_SET_SREGS failed with EINVAL: KVM does not accept the values (segments)',
        );
        assert.equal(new KvmError('KVM_RUN', 4711).message, 'KVM_RUN failed with error 4711: an unexpected error');
    });

    it('say what to do where the device is missing', () => {
        assert.match(explainMissing(new Set(['vmx'])), /modprobe kvm_intel/);
        assert.match(explainMissing(new Set(['svm', 'hypervisor'])), /modprobe kvm_amd/);
        assert.match(explainMissing(new Set(['hypervisor'])), /nested virtualisation/);
        assert.match(explainMissing(new Set()), /firmware setup/);
    });
});

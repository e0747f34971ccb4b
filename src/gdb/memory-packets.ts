/** Packets about memory: `m`, `M`, `x`, `X`, searches, and QEMU's physical memory mode. */
import type { Address } from '../debug/address';
import type { DebugTarget } from '../debug/target';
import { type Answer, Failure, OK } from './answers';
import { encodeHexPacket, PACKET_SIZE } from './packet';
import { fromHex, latin1, parseRange } from './text';

/** As many bytes as an answer has room for in hexadecimal. */
const LONGEST_READ = PACKET_SIZE / 2;
/** Bytes that are searched at a time, between two looks at other requests. */
const SEARCH_PIECE = 0x100000;
const LONGEST_SEARCH = 2 ** 40;

export class MemoryPackets {
    /** Addresses are physical ones. */
    physical = false;

    /** @param isOver nobody waits for an answer any more */
    constructor(
        private readonly target: DebugTarget,
        private readonly isOver: () => boolean,
    ) {}

    private address(offset: bigint): Address {
        return { space: this.physical ? 'physical' : 'linear', offset };
    }

    private async readRange(vcpu: number, text: string): Promise<Uint8Array | undefined> {
        const range = parseRange(text);
        if (range === undefined) {
            return undefined;
        }
        const wanted = Math.min(Number(range.length), LONGEST_READ);
        const bytes = await this.target.readMemory(vcpu, this.address(range.offset), wanted);
        return bytes.length === 0 && wanted > 0 ? undefined : bytes;
    }

    async read(vcpu: number, text: string): Promise<Answer> {
        const bytes = await this.readRange(vcpu, text);
        return bytes === undefined ? Failure.Fault : { packet: encodeHexPacket(bytes) };
    }

    async readBinary(vcpu: number, text: string): Promise<string> {
        const bytes = await this.readRange(vcpu, text);
        return bytes === undefined ? Failure.Fault : `b${latin1(bytes)}`;
    }

    async write(vcpu: number, text: string): Promise<string> {
        const colon = text.indexOf(':');
        const bytes = fromHex(text.slice(colon + 1));
        return colon < 0 || bytes === undefined ? Failure.Invalid : this.store(vcpu, text.slice(0, colon), bytes);
    }

    async writeBinary(vcpu: number, text: string, bytes: Uint8Array): Promise<string> {
        const colon = text.indexOf(':');
        return colon < 0 ? Failure.Invalid : this.store(vcpu, text.slice(0, colon), bytes.subarray(colon + 1));
    }

    private async store(vcpu: number, text: string, bytes: Uint8Array): Promise<string> {
        const range = parseRange(text);
        if (range === undefined || range.length !== BigInt(bytes.length)) {
            return Failure.Invalid;
        }
        const written = await this.target.writeMemory(vcpu, this.address(range.offset), bytes);
        return written === bytes.length ? OK : Failure.Fault;
    }

    /** `address;length;pattern`: the first place of the pattern. */
    async search(vcpu: number, text: string, bytes: Uint8Array): Promise<string> {
        const head = /^[0-9a-f]+;[0-9a-f]+;/i.exec(text)?.[0] ?? '';
        const range = parseRange(head.slice(0, -1));
        if (range === undefined) {
            return Failure.Invalid;
        }
        const { offset: start, length } = range;
        const pattern = bytes.subarray(head.length);
        const end = start + (length < LONGEST_SEARCH ? length : BigInt(LONGEST_SEARCH));
        for (let at = start; at + BigInt(pattern.length) <= end && !this.isOver(); at += BigInt(SEARCH_PIECE)) {
            const rest = end - at;
            const wanted = SEARCH_PIECE + pattern.length - 1;
            const piece = await this.target.readMemory(
                vcpu,
                this.address(at),
                rest < BigInt(wanted) ? Number(rest) : wanted,
            );
            const found = Buffer.from(piece.buffer, piece.byteOffset, piece.length).indexOf(pattern);
            if (found >= 0) {
                return `1,${(at + BigInt(found)).toString(16)}`;
            }
            if (piece.length < wanted) {
                return at + BigInt(piece.length) < end && piece.length === 0 && at === start ? Failure.Fault : '0';
            }
            await new Promise(resolve => setImmediate(resolve));
        }
        return '0';
    }

    setPhysical(text: string): string {
        if (text !== '0' && text !== '1') {
            return Failure.Invalid;
        }
        this.physical = text === '1';
        return OK;
    }
}

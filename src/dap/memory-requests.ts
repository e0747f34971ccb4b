/** Requests that look at the guest's memory and code. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { formatAddress } from '../debug/address';
import type { DisassembledInstruction } from '../debug/disassembler';
import type { DebugTarget } from '../debug/target';
import type { RequestArguments } from './arguments';
import { memoryWritten } from './inspection-context';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';
import type { SourceRequests } from './source-requests';

/** What one request may ask for. */
const MOST_BYTES = 16 * 0x100000;
const MOST_INSTRUCTIONS = 10_000;

export class MemoryRequests {
    readonly handlers: RequestHandlers = {
        readMemory: args => readMemory(this.session.target, this.session.focus, args),
        writeMemory: args => this.writeMemory(args),
        disassemble: args => this.disassemble(args),
        'hyperscope/translateAddress': args => translateAddress(this.session.target, this.session.focus, args),
    };

    constructor(
        private readonly session: SessionContext,
        private readonly sources: Pick<SourceRequests, 'sourceOf' | 'clientLine' | 'clientColumn'>,
    ) {}

    /** Instructions with the source lines that they were compiled from: of inlined code, the lines of its own source. */
    private async disassemble(args: RequestArguments): Promise<DebugProtocol.DisassembleResponse['body']> {
        const { target, focus } = this.session;
        const body = await disassemble(target, focus, args);
        for (const instruction of body?.instructions ?? []) {
            const line = await target.sourceLines?.lineAt(BigInt(instruction.address));
            const location = line && this.sources.sourceOf(line.path);
            if (line === undefined || location === undefined) continue;
            instruction.location = location;
            instruction.line = this.sources.clientLine(line.line);
            if (line.column !== undefined) instruction.column = this.sources.clientColumn(line.column);
        }
        return body;
    }

    private async writeMemory(args: RequestArguments): Promise<object> {
        const body = await writeMemory(this.session.target, this.session.focus, args);
        memoryWritten(
            this.session,
            args.string('memoryReference'),
            args.optionalInteger('offset', 0),
            body?.bytesWritten ?? 0,
        );
        return body ?? {};
    }
}

async function readMemory(
    target: DebugTarget,
    vcpu: number,
    args: RequestArguments,
): Promise<DebugProtocol.ReadMemoryResponse['body']> {
    const address = args.address('memoryReference');
    const count = args.integer('count', 0, MOST_BYTES);
    const bytes = await target.readMemory(vcpu, address, count);
    return {
        address: hex(address.offset),
        data: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
        unreadableBytes: bytes.length < count ? count - bytes.length : undefined,
    };
}

async function writeMemory(
    target: DebugTarget,
    vcpu: number,
    args: RequestArguments,
): Promise<DebugProtocol.WriteMemoryResponse['body']> {
    const address = args.address('memoryReference');
    const bytes = Buffer.from(args.string('data'), 'base64');
    const all = !args.flag('allowPartial');
    // Half a write is worse than none, unless it was asked for.
    const readable = all ? (await target.readMemory(vcpu, address, bytes.length)).length : 0;
    if (all && readable < bytes.length) {
        throw new RequestError(
            `only ${readable} of ${bytes.length} bytes at ${formatAddress(address)} meet memory: nothing was written`,
        );
    }
    const bytesWritten = await target.writeMemory(vcpu, address, bytes);
    if (all && bytesWritten < bytes.length) {
        throw new RequestError(
            `only ${bytesWritten} of ${bytes.length} bytes at ${formatAddress(address)} met memory and were written`,
        );
    }
    return { bytesWritten };
}

async function disassemble(
    target: DebugTarget,
    vcpu: number,
    args: RequestArguments,
): Promise<DebugProtocol.DisassembleResponse['body']> {
    const { space, offset } = args.address('memoryReference');
    if (space === 'physical') {
        throw new RequestError('memoryReference has to be a linear address: code is executed through the page tables');
    }
    const first = args.optionalInteger('instructionOffset', 0, -MOST_INSTRUCTIONS, MOST_INSTRUCTIONS);
    const count = args.integer('instructionCount', 0, MOST_INSTRUCTIONS);
    const listing = await target.disassemble(vcpu, offset, first, count);
    return { instructions: listing.map(presentInstruction) };
}

function presentInstruction(entry: DisassembledInstruction): DebugProtocol.DisassembledInstruction {
    const { address, bytes, text, symbol } = entry;
    return {
        address: hex(address),
        instructionBytes:
            bytes.length === 0
                ? undefined
                : Buffer.from(bytes)
                      .toString('hex')
                      .replace(/..(?=.)/g, '$& '),
        instruction: text,
        symbol,
        presentationHint: entry.instruction === undefined ? 'invalid' : 'normal',
    };
}

/** The page walk of a linear address, level by level: a request of our own. */
async function translateAddress(target: DebugTarget, vcpu: number, args: RequestArguments): Promise<object> {
    const text = args.string('address');
    const { value } = await target.evaluate(vcpu, text, false);
    const { linear, walk, problem } = await target.translate(vcpu, BigInt.asUintN(64, value.bits));
    const { mapping } = walk ?? {};
    return {
        linear: hex(linear),
        mode: walk?.mode,
        levels: walk?.levels.map(({ structure, index, address, entry, reserved }) => ({
            structure,
            index,
            address: address === undefined ? undefined : hex(BigInt(address)),
            entry: hex(entry),
            reserved: reserved === 0n ? undefined : hex(reserved),
        })),
        mapping: mapping && { ...mapping, physical: hex(BigInt(mapping.physical)) },
        problem,
    };
}

/** Guest code beside the IR and the WebAssembly that the translator makes of it. */
import type { InspectionSource } from '../debug/inspection-source';
import { formatInstruction, type Instruction } from '../isa/x86';
import { type Engine, isSwitchable } from '../machine/engine';
import { ModeKey, StateOffset } from '../machine/state';
import type { TranslatedBlock, TranslatedExit, TranslatedInstruction, TranslationBody } from '../messages/translation';
import { TranslatorEngine } from '../translator';
import type { Region } from '../translator/engine/blocks';
import type { BlockView, CodeView } from '../translator/engine/code-view';
import { hex, hexBytes } from './hex';
import { isCanonical, pageTables } from './paging/paging-format';
import { walk } from './paging/walk';

const PAGE = 0x1000;

export function viewTranslation(source: InspectionSource, linear: bigint, brief: boolean): TranslationBody {
    const head = { address: hex(linear), symbol: source.symbol(linear), blocks: [], instructions: 0, insideOf: [] };
    const { machine } = source;
    if (machine === undefined) {
        return { ...head, problem: 'translated code can be seen only in a machine that Hyperscope itself runs' };
    }
    const engine = activeTranslator(machine.engine);
    if (engine === undefined) {
        return { ...head, problem: 'this engine runs guest code as it is: nothing is translated' };
    }
    const place = physicalOf(source, linear);
    if (typeof place === 'string') {
        return { ...head, problem: place };
    }
    const mode = machine.processors[source.vcpu].cpu.lo(StateOffset.mode);
    const view = engine.code.explain(place, mode, brief);
    if (view === undefined) {
        return {
            ...head,
            physical: hex(place),
            mode: describeMode(mode),
            problem: 'not decoded: this code has not run in this mode yet, or not since it was last changed',
        };
    }
    return { ...head, ...new Presenter(source, view, linear, place).body() };
}

/** The translator, where it is what executes the machine now: alone, or as one of several engines. */
function activeTranslator(engine: Engine): TranslatorEngine | undefined {
    if (engine instanceof TranslatorEngine) return engine;
    if (!isSwitchable(engine) || engine.active !== 'translator') return undefined;
    const { translator } = engine as { readonly translator?: unknown };
    return translator instanceof TranslatorEngine ? translator : undefined;
}

function physicalOf(source: InspectionSource, linear: bigint): number | string {
    const tables = pageTables(source.system);
    if (tables.mode === 'none') {
        return Number(BigInt.asUintN(32, linear));
    }
    if (!isCanonical(tables, linear)) {
        return 'the address is not canonical';
    }
    const { mapping, problem } = walk(source, tables, linear);
    return mapping?.physical ?? problem ?? 'not mapped';
}

/** The key that code is specialised on, in words. */
export function describeMode(mode: number): string {
    const words = [
        `${16 << (mode & ModeKey.CodeSizeMask)}-bit`,
        (mode & ModeKey.Virtual8086) !== 0
            ? 'virtual-8086'
            : (mode & ModeKey.Protected) === 0
              ? 'real mode'
              : `ring ${(mode >> ModeKey.CplShift) & 3}`,
        (mode & ModeKey.Flat) !== 0 ? 'flat' : 'segmented',
        (mode & ModeKey.X87Usable) !== 0 ? 'x87' : '',
        (mode & ModeKey.SseUsable) !== 0 ? 'SSE' : '',
        (mode & ModeKey.AlignmentCheck) !== 0 ? 'alignment checks' : '',
    ];
    return words.filter(word => word !== '').join(' ');
}

/** Offset of the block that is looked at. */
function offsetOf({ block, blocks }: CodeView): number {
    return blocks.find(one => one.block === block)?.offset ?? block.physical % PAGE;
}

class Presenter {
    /** Linear address of the page that the region's entry lies in: offsets of blocks count from there. */
    private readonly page: bigint;
    /** Offset of CS: linear addresses less this are instruction pointers. */
    private readonly codeBase: bigint;

    constructor(
        private readonly source: InspectionSource,
        private readonly view: CodeView,
        linear: bigint,
        private readonly physical: number,
    ) {
        this.page = linear - BigInt(physical - view.block.physical) - BigInt(offsetOf(view));
        const wide = (view.block.mode & ModeKey.CodeSizeMask) === 2;
        this.codeBase = wide ? 0n : source.system.segments[1].base;
    }

    body(): Partial<TranslationBody> & Pick<TranslationBody, 'blocks' | 'instructions' | 'insideOf'> {
        const { block, region, blocks, wasm, wasmBytes, hotThreshold } = this.view;
        return {
            physical: hex(this.physical),
            tier: region === undefined ? 'interpreter' : 'region',
            heat: blocks.find(one => one.block === block)?.heat,
            hotThreshold,
            mode: describeMode(block.mode),
            blocks: blocks.map((one, index) => this.block(one, index === 0)),
            instructions: blocks.reduce((sum, one) => sum + one.block.count, 0),
            wasm: wasm?.lines.join('\n'),
            wasmBytes,
            insideOf: [...block.inside].filter(other => other !== region).map(other => hex(this.entryOf(other))),
        };
    }

    /** Linear address of the entry of another region with the block in it. */
    private entryOf({ blocks, offsets }: Region): bigint {
        const offset = offsets[blocks.indexOf(this.view.block)];
        return this.page + BigInt(offsetOf(this.view) - offset + (blocks[0].physical % PAGE));
    }

    private block(view: BlockView, isEntry: boolean): TranslatedBlock {
        const { block, ir } = view;
        const address = this.page + BigInt(view.offset);
        const end = ir?.starts.at(-1);
        return {
            address: hex(address),
            physical: hex(block.physical),
            length: block.length,
            symbol: this.source.symbol(address),
            heat: view.heat,
            current: block === this.view.block,
            isEntry,
            isLoopHeader: view.isLoopHeader,
            exits: this.exits(view),
            instructions: this.instructions(view),
            ir: end === undefined ? undefined : ir?.lines.slice(end),
        };
    }

    private exits({ block, offset: start, targets, isIndirect, system }: BlockView): TranslatedExit[] {
        if (system.at(-1) === true) {
            return [{ kind: 'system', inside: false }];
        }
        if (isIndirect) {
            return [{ kind: 'indirect', inside: false }];
        }
        const next = start + block.length;
        return targets.map(offset => {
            const target = this.page + BigInt(offset);
            const inside = this.view.blocks.some(other => other.offset === offset);
            const kind = offset === next ? 'next' : 'taken';
            return { kind, target: hex(target), symbol: this.source.symbol(target), inside };
        });
    }

    private instructions({ block, offset: start, ir, system, wasmLines }: BlockView): TranslatedInstruction[] {
        const bytes = this.bytes(block.physical, block.secondPage, block.length);
        let offset = 0;
        return block.instructions.map((instruction: Instruction, index): TranslatedInstruction => {
            const address = this.page + BigInt(start + offset);
            const own = bytes.subarray(offset, offset + instruction.length);
            offset += instruction.length;
            return {
                address: hex(address),
                bytes: hexBytes(own),
                text: formatInstruction(instruction, address - this.codeBase, {
                    symbol: target => this.source.symbol(target + this.codeBase),
                }),
                ir: ir?.lines.slice(ir.starts[index], ir.starts[index + 1]),
                wasmLines: wasmLines?.[index],
                system: system[index] || undefined,
            };
        });
    }

    /** The block's bytes as they are in memory. */
    private bytes(physical: number, secondPage: number, length: number): Uint8Array {
        const bytes = new Uint8Array(length);
        const inPage = physical % PAGE;
        const first = this.source.page(physical - inPage)?.subarray(inPage, inPage + length) ?? bytes;
        bytes.set(first);
        const second = secondPage < 0 ? undefined : this.source.page(secondPage);
        if (second !== undefined && first.length < length) {
            bytes.set(second.subarray(0, length - first.length), first.length);
        }
        return bytes;
    }
}

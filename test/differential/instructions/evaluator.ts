/** The tier without WebAssembly: what a region would do with a block, executed by the evaluator of the IR. */

import { semantics } from '../../../src/translator';
import { type IrEnvironment, evaluateIr } from '../../../src/translator/ir/evaluate';
import type { Block } from '../../../src/translator/engine/blocks';
import { liftBlock } from '../../../src/translator/region/translate';
import { semanticOf } from '../../../src/translator/engine/handlers';
import { Attribute } from '../../../src/isa/x86';

/**
 * Executes a block that starts at `offset` in its page. Returns the RIP that it goes to, or NaN if it is not alone in the
 * code, faults, or needs what is outside of the IR.
 */
export function evaluateBlock(
    block: Pick<Block, 'mode' | 'instructions'>,
    environment: IrEnvironment,
    offset: number,
): number {
    const { mode, instructions } = block;
    const isOneBlock = instructions.every(
        (instruction, i) =>
            semanticOf(instruction, mode, semantics) !== undefined &&
            ((instruction.row.attributes & Attribute.Branch) === 0 || i === instructions.length - 1),
    );
    if (!isOneBlock) {
        return NaN;
    }
    const outcome = evaluateIr(liftBlock(block, offset, semantics), environment);
    switch (outcome.kind) {
        case 'jump':
            return Number(outcome.rip);
        case 'jumpRelative':
            return Number(environment.rip + outcome.displacement);
    }
    return NaN;
}

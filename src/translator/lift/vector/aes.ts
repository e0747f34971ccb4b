/**
 * AES-NI (SDM Vol. 1, 12.13; FIPS 197). The rounds are table look-ups in a helper: inline, a substitution without
 * tables takes some eighty vector operations.
 */
import { StateOffset } from '../../../machine/state';
import { type Helper } from '../../ir/function';
import { StateAccess, Type } from '../../ir/opcodes';
import { type Semantic, type SemanticTable } from '../semantics';
import { AesOperation } from './aesHelper';
import { immediateByte, readVector } from './operands';

/** aes(operation, immediate): works in the scratch area on state (0) and round key (16), result at 0. */
export const AES_HELPER: Helper = { name: 'aes', parameters: [Type.I32, Type.I32], result: Type.Void };

function round(operation: AesOperation): Semantic {
    return c => {
        const ir = c.ir;
        const source = readVector(c, 1);
        if (operation === AesOperation.InverseMixColumns || operation === AesOperation.KeyGenerationAssist) {
            ir.set(StateOffset.scratch, StateAccess.V128, source);
        } else {
            ir.set(StateOffset.scratch, StateAccess.V128, c.read(0));
            ir.set(StateOffset.scratch + 16, StateAccess.V128, source);
        }
        const immediate = operation === AesOperation.KeyGenerationAssist ? immediateByte(c).value : ir.i32(0);
        c.call(AES_HELPER, [ir.i32(operation), immediate]);
        c.write(0, ir.get(StateOffset.scratch, StateAccess.V128));
    };
}

export const AES: SemanticTable = {
    AESENC: round(AesOperation.Encrypt),
    AESENCLAST: round(AesOperation.EncryptLast),
    AESDEC: round(AesOperation.Decrypt),
    AESDECLAST: round(AesOperation.DecryptLast),
    AESIMC: round(AesOperation.InverseMixColumns),
    AESKEYGENASSIST: round(AesOperation.KeyGenerationAssist),
};

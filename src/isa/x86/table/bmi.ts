import { type RowGroup } from './notation';

/** Bit manipulation with VEX prefix (SDM Vol. 1, 5.1.16); LZCNT and TZCNT stand with the integer instructions. VEX.W makes the
 * operands 64 bits wide in 64-bit mode and is ignored elsewhere. */
export const BMI: RowGroup = {
    feature: 'bmi1',
    attributes: 'vex',
    rows: `
# BMI1
VEX.LZ.0F38 F2 /r      ANDN Gy,By,Ey                w:oszc u:ap
VEX.LZ.0F38 F7 /r      BEXTR Gy,Ey,By               w:ozc u:asp
VEX.LZ.0F38 F3 /1      BLSR By,Ey                   w:oszc u:ap
VEX.LZ.0F38 F3 /2      BLSMSK By,Ey                 w:oszc u:ap
VEX.LZ.0F38 F3 /3      BLSI By,Ey                   w:oszc u:ap

# BMI2
VEX.LZ.0F38 F5 /r      BZHI Gy,Ey,By                @bmi2 w:oszc u:ap
VEX.LZ.F2.0F38 F6 /r   MULX Gy,By,Ey                @bmi2
VEX.LZ.F2.0F38 F5 /r   PDEP Gy,By,Ey                @bmi2
VEX.LZ.F3.0F38 F5 /r   PEXT Gy,By,Ey                @bmi2
VEX.LZ.F2.0F3A F0 /r   RORX Gy,Ey,Ib                @bmi2
VEX.LZ.F3.0F38 F7 /r   SARX Gy,Ey,By                @bmi2
VEX.LZ.66.0F38 F7 /r   SHLX Gy,Ey,By                @bmi2
VEX.LZ.F2.0F38 F7 /r   SHRX Gy,Ey,By                @bmi2
`,
};

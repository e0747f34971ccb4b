/** Unwinding by call frame information: how to get at a caller's registers. */
import { fromAddress } from '../cursor';
import type { ElfFile } from '../elf-file';
import { SymbolFileError } from '../errors';
import {
    type FrameState,
    lookupAddress,
    readUnsigned,
    type RegisterNumbering,
    type UnwindMemory,
    type UnwindSource,
    type UnwindStep,
} from '../unwind';
import { evaluateNumber, type ExpressionContext } from './expression';
import type { Rule } from './frame-instructions';
import { type FrameRow, FrameSection } from './frame-section';
import { elfSection } from './sections';

/** Unwinds by the call frame information of one program. */
export class CallFrameUnwinder implements UnwindSource {
    readonly method = 'cfi';
    private knownSections: readonly FrameSection[] | undefined;

    /** @param slide what the program was loaded above the addresses that it was linked at */
    constructor(
        private readonly elf: ElfFile,
        private readonly numbering: RegisterNumbering,
        private readonly problems: string[],
        private readonly slide: () => bigint,
    ) {}

    get describesCompiledCode(): boolean {
        return this.sections.length > 0;
    }

    /** The rules at an instruction, by its linked address in the form of `Cursor.address`. */
    rowAt(address: number): FrameRow | undefined {
        for (const section of this.sections) {
            try {
                const row = section.rowAt(address);
                if (row !== undefined) return row;
            } catch (error) {
                if (!(error instanceof SymbolFileError)) throw error;
                this.problems.push(error.message);
            }
        }
        return undefined;
    }

    cfa(frame: FrameState, memory: UnwindMemory): bigint | undefined {
        const row = this.rowOf(frame);
        return row && this.computeCfa(row, frame, memory);
    }

    step(frame: FrameState, memory: UnwindMemory): UnwindStep | undefined {
        const row = this.rowOf(frame);
        if (row === undefined) {
            return undefined;
        }
        const { addressSize, stackPointer, preserved, programCounter } = this.numbering;
        if (row.rules.get(row.returnRegister)?.kind === 'undefined') {
            return { kind: 'end' };
        }
        const cfa = this.computeCfa(row, frame, memory);
        if (cfa === undefined) {
            return undefined;
        }
        const registers: (bigint | undefined)[] = frame.registers.map((value, register) => {
            const rule = row.rules.get(register);
            if (rule === undefined) return preserved.includes(register) ? value : undefined;
            return this.apply(rule, register, cfa, frame, memory);
        });
        if (!row.rules.has(stackPointer)) registers[stackPointer] = cfa;
        const returnRule = row.rules.get(row.returnRegister);
        const pc =
            returnRule === undefined ? undefined : this.apply(returnRule, row.returnRegister, cfa, frame, memory);
        if (pc === undefined) {
            return undefined;
        }
        if (pc === 0n) {
            return { kind: 'end' };
        }
        registers[programCounter] = BigInt.asUintN(addressSize * 8, pc);
        return {
            kind: 'caller',
            cfa,
            frame: { pc: registers[programCounter], registers, isReturn: !row.isSignalFrame },
        };
    }

    private rowOf(frame: FrameState): FrameRow | undefined {
        return this.rowAt(fromAddress(BigInt.asUintN(64, lookupAddress(frame) - this.slide())));
    }

    private get sections(): readonly FrameSection[] {
        if (this.knownSections === undefined) {
            const { elf, problems } = this;
            const found: FrameSection[] = [];
            for (const name of ['.debug_frame', '.zdebug_frame', '.eh_frame']) {
                const section = elf.section(name);
                try {
                    const data = section && elfSection(elf, section);
                    if (section === undefined || data === undefined) continue;
                    const isEh = name === '.eh_frame';
                    found.push(
                        new FrameSection(
                            data.slice(0, data.size),
                            data.what,
                            section.address,
                            isEh,
                            elf.addressSize,
                            problems,
                        ),
                    );
                } catch (error) {
                    if (!(error instanceof SymbolFileError)) throw error;
                    problems.push(error.message);
                }
            }
            this.knownSections = found;
        }
        return this.knownSections;
    }

    private computeCfa({ cfa }: FrameRow, frame: FrameState, memory: UnwindMemory): bigint | undefined {
        const width = this.numbering.addressSize * 8;
        if (cfa === undefined) {
            return undefined;
        }
        if (cfa.kind === 'expression') {
            return evaluateNumber(cfa.expression, this.context(frame, memory));
        }
        const value = frame.registers[cfa.register];
        return value === undefined ? undefined : BigInt.asUintN(width, value + BigInt(cfa.offset));
    }

    private apply(
        rule: Rule,
        register: number,
        cfa: bigint,
        frame: FrameState,
        memory: UnwindMemory,
    ): bigint | undefined {
        const { addressSize } = this.numbering;
        switch (rule.kind) {
            case 'undefined':
                return undefined;
            case 'same':
                return frame.registers[register];
            case 'offset':
                return readUnsigned(memory, cfa + BigInt(rule.offset), addressSize);
            case 'valueOffset':
                return BigInt.asUintN(addressSize * 8, cfa + BigInt(rule.offset));
            case 'register':
                return frame.registers[rule.register];
            case 'expression': {
                const address = evaluateNumber(rule.expression, this.context(frame, memory), cfa);
                return address === undefined ? undefined : readUnsigned(memory, address, addressSize);
            }
            case 'valueExpression':
                return evaluateNumber(rule.expression, this.context(frame, memory), cfa);
        }
    }

    private context(frame: FrameState, memory: UnwindMemory): ExpressionContext {
        const slide = this.slide();
        return {
            addressSize: this.numbering.addressSize,
            offsetSize: 4,
            version: 5,
            register: number => frame.registers[number],
            memory: (address, size) => memory.readMemory(address, size),
            relocate: address => address + slide,
            frameBase: () => undefined,
            cfa: () => undefined,
            entryValue: () => undefined,
            indexedAddress: () => undefined,
            baseType: () => undefined,
        };
    }
}

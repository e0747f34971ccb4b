/** Line number programs (DWARF 5, 6.2): runs them, and finds rows by address. */
import { partitionPoint } from '../../common/search';
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import type { LineHeader } from './line-header';

const enum Standard {
    Extended = 0,
    Copy = 1,
    AdvancePc = 2,
    AdvanceLine = 3,
    SetFile = 4,
    SetColumn = 5,
    NegateStatement = 6,
    SetBasicBlock = 7,
    ConstAddPc = 8,
    FixedAdvancePc = 9,
    SetPrologueEnd = 10,
    SetEpilogueBegin = 11,
    SetIsa = 12,
}

const enum Extended {
    EndSequence = 1,
    SetAddress = 2,
    DefineFile = 3,
    SetDiscriminator = 4,
}

/** Bits of a row's flags. */
export const enum RowFlag {
    Statement = 1,
    PrologueEnd = 2,
    EpilogueBegin = 4,
    EndSequence = 8,
}

/** Rows of contiguous code. */
interface Sequence {
    readonly low: number;
    /** Behind the last instruction. */
    readonly high: number;
    readonly firstRow: number;
    /** The row that ends the sequence. */
    readonly lastRow: number;
}

/** The rows of a program, column by column. */
export class LineTable {
    private knownSequences: readonly Sequence[] | undefined;

    constructor(
        readonly header: LineHeader,
        readonly count: number,
        /** As `Cursor.address` has them. */
        readonly addresses: Float64Array,
        readonly lines: Uint32Array,
        readonly files: Uint32Array,
        readonly columns: Uint16Array,
        readonly flags: Uint8Array,
    ) {}

    /** By address. */
    private get sequences(): readonly Sequence[] {
        if (this.knownSequences === undefined) {
            const found: Sequence[] = [];
            let firstRow = 0;
            for (let row = 0; row < this.count; row++) {
                if ((this.flags[row] & RowFlag.EndSequence) === 0) continue;
                const low = this.addresses[firstRow];
                const high = this.addresses[row];
                if (high > low) found.push({ low, high, firstRow, lastRow: row });
                firstRow = row + 1;
            }
            this.knownSequences = found.sort((a, b) => a.low - b.low);
        }
        return this.knownSequences;
    }

    /** The row that an address belongs to, or -1. */
    rowAt(address: number): number {
        const { sequences } = this;
        const low = partitionPoint(sequences.length, index => sequences[index].low <= address);
        const sequence = sequences.at(low - 1);
        if (low === 0 || sequence === undefined || address >= sequence.high) {
            return -1;
        }
        const { firstRow, lastRow } = sequence;
        const { addresses } = this;
        const first = firstRow + partitionPoint(lastRow - firstRow, row => addresses[firstRow + row] <= address);
        // Of several rows at one address the last that begins a statement tells; without one, the last.
        const last = first - 1;
        for (let row = last; row >= sequence.firstRow && this.addresses[row] === this.addresses[last]; row--) {
            if (this.isStatement(row)) return row;
        }
        return last;
    }

    /** The address behind the instructions of a row. */
    endOf(row: number): number {
        const start = this.addresses[row];
        let next = row + 1;
        while (next < this.count - 1 && this.addresses[next] === start && !this.endsSequence(next)) next++;
        return this.addresses[next];
    }

    isStatement(row: number): boolean {
        return (this.flags[row] & RowFlag.Statement) !== 0;
    }

    endsSequence(row: number): boolean {
        return (this.flags[row] & RowFlag.EndSequence) !== 0;
    }
}

/** Collects rows in arrays that grow. */
class Rows {
    count = 0;
    addresses: Float64Array;
    lines: Uint32Array;
    files: Uint32Array;
    columns: Uint16Array;
    flags: Uint8Array;

    constructor(private capacity: number) {
        this.addresses = new Float64Array(capacity);
        this.lines = new Uint32Array(capacity);
        this.files = new Uint32Array(capacity);
        this.columns = new Uint16Array(capacity);
        this.flags = new Uint8Array(capacity);
    }

    add(address: number, line: number, file: number, column: number, flags: number): void {
        if (this.count === this.capacity) {
            this.capacity *= 2;
            const addresses = new Float64Array(this.capacity);
            addresses.set(this.addresses);
            this.addresses = addresses;
            const lines = new Uint32Array(this.capacity);
            lines.set(this.lines);
            this.lines = lines;
            const files = new Uint32Array(this.capacity);
            files.set(this.files);
            this.files = files;
            const columns = new Uint16Array(this.capacity);
            columns.set(this.columns);
            this.columns = columns;
            const allFlags = new Uint8Array(this.capacity);
            allFlags.set(this.flags);
            this.flags = allFlags;
        }
        const row = this.count++;
        this.addresses[row] = address;
        this.lines[row] = line;
        this.files[row] = file;
        this.columns[row] = column;
        this.flags[row] = flags;
    }
}

/**
 * Runs a line number program.
 * @param cursor over the program's opcodes, to their end
 * @throws SymbolFileError
 */
export function runLineProgram(header: LineHeader, cursor: Cursor): LineTable {
    const { lineBase, lineRange, opcodeBase, operandCounts, addressSize, version } = header;
    const { minimumInstructionLength, operationsPerInstruction } = header;
    const files = { names: header.fileNames as string[], directories: header.fileDirectories };
    const rows = new Rows(Math.max(16, cursor.left >> 1));
    const operations = Math.max(1, operationsPerInstruction);
    const initialFlags = header.defaultIsStatement ? RowFlag.Statement : 0;
    let address = 0;
    let operation = 0;
    let file = 1;
    let line = 1;
    let column = 0;
    let flags: number = initialFlags;
    let defined = files.names;

    const advance = (by: number): void => {
        if (operations === 1) {
            address += minimumInstructionLength * by;
        } else {
            const total = operation + by;
            address += minimumInstructionLength * Math.floor(total / operations);
            operation = total % operations;
        }
    };
    const emit = (): void => {
        rows.add(address, line, file, column, flags);
        flags &= RowFlag.Statement;
    };

    while (cursor.left > 0) {
        const opcode = cursor.u8();
        if (opcode >= opcodeBase) {
            const adjusted = opcode - opcodeBase;
            advance(Math.floor(adjusted / lineRange));
            line += lineBase + (adjusted % lineRange);
            emit();
            continue;
        }
        switch (opcode as Standard) {
            case Standard.Extended: {
                const length = cursor.uleb();
                const next = cursor.at + length;
                if (next > cursor.end) {
                    throw new SymbolFileError(`${cursor.what}: corrupt: an opcode of ${length} bytes in a line table`);
                }
                if (length === 0) break;
                switch (cursor.u8() as Extended) {
                    case Extended.EndSequence:
                        flags |= RowFlag.EndSequence;
                        emit();
                        address = 0;
                        operation = 0;
                        file = 1;
                        line = 1;
                        column = 0;
                        flags = initialFlags;
                        break;
                    case Extended.SetAddress:
                        // The length tells its size; before version 5 nothing else does.
                        address = cursor.address(length - 1 === 4 || length - 1 === 8 ? length - 1 : addressSize);
                        operation = 0;
                        break;
                    case Extended.DefineFile:
                        if (version < 5) {
                            if (defined === header.fileNames) defined = [...header.fileNames];
                            defined.push(cursor.string());
                        }
                        break;
                    default:
                        break; // discriminators, and what producers add
                }
                cursor.at = next;
                break;
            }
            case Standard.Copy:
                emit();
                break;
            case Standard.AdvancePc:
                advance(cursor.uleb());
                break;
            case Standard.AdvanceLine:
                line += cursor.sleb();
                break;
            case Standard.SetFile:
                file = cursor.uleb();
                break;
            case Standard.SetColumn:
                column = cursor.uleb();
                break;
            case Standard.NegateStatement:
                flags ^= RowFlag.Statement;
                break;
            case Standard.SetBasicBlock:
                break;
            case Standard.ConstAddPc:
                advance(Math.floor((255 - opcodeBase) / lineRange));
                break;
            case Standard.FixedAdvancePc:
                address += cursor.u16();
                operation = 0;
                break;
            case Standard.SetPrologueEnd:
                flags |= RowFlag.PrologueEnd;
                break;
            case Standard.SetEpilogueBegin:
                flags |= RowFlag.EpilogueBegin;
                break;
            case Standard.SetIsa:
                cursor.skipLeb();
                break;
            default:
                for (let operand = operandCounts[opcode]; operand > 0; operand--) cursor.skipLeb();
        }
    }
    const finalHeader: LineHeader =
        defined === header.fileNames
            ? header
            : {
                  ...header,
                  fileNames: defined,
                  fileDirectories: Uint32Array.from(defined, (_, index) => header.fileDirectories[index] ?? 0),
              };
    return new LineTable(finalHeader, rows.count, rows.addresses, rows.lines, rows.files, rows.columns, rows.flags);
}

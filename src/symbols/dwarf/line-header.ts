/** Headers of line number programs (DWARF 5, 6.2.4): which files a unit's code comes from. */
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { Form } from './constants';
import { readForm, skipForm, type UnitFormat } from './forms';
import type { DwarfSections } from './sections';

const enum Content {
    Path = 1,
    DirectoryIndex = 2,
}

/** A unit's code comes from fewer files than this. */
const MOST_FILES = 1 << 20;
const MOST_FORMATS = 64;

export interface LineHeader extends UnitFormat {
    /** Of the header, in `.debug_line`. */
    readonly offset: number;
    /** Of the first opcode. */
    readonly program: number;
    /** Of the next header. */
    readonly end: number;
    readonly minimumInstructionLength: number;
    readonly operationsPerInstruction: number;
    readonly defaultIsStatement: boolean;
    readonly lineBase: number;
    readonly lineRange: number;
    readonly opcodeBase: number;
    /** Operands of each standard opcode; the first one's at 1. */
    readonly operandCounts: Uint8Array;
    /** Directory 0 is the compilation directory: before version 5 it is not written down, and empty here. */
    readonly directories: readonly string[];
    /** Names and directories by the number that rows use; before version 5 number 0 stands for nothing. */
    readonly fileNames: readonly string[];
    readonly fileDirectories: Uint32Array;
}

/** Strings by their offset: headers name the same few thousand over and over. */
export class StringCache {
    private readonly known = new Map<number, string>();

    constructor(private readonly sections: DwarfSections) {}

    get(form: number, offset: number): string {
        // The two string sections share the map: offsets of one are kept negative.
        const isLine = form === (Form.LineStrp as number);
        const key = isLine ? offset : -1 - offset;
        let text = this.known.get(key);
        if (text === undefined) {
            text = this.sections.get(isLine ? 'line_str' : 'str')?.string(offset) ?? '';
            this.known.set(key, text);
        }
        return text;
    }
}

/**
 * @param cursor at the header; the bytes may end with the program cut off
 * @param addressSize of the unit; version 5 says it itself
 * @throws SymbolFileError
 */
export function readLineHeader(cursor: Cursor, offset: number, addressSize: number, strings: StringCache): LineHeader {
    const start = cursor.at;
    const { length, offsetSize } = cursor.initialLength();
    const end = offset + (cursor.at - start) + length;
    const version = cursor.u16();
    if (version < 2 || version > 5) {
        throw new SymbolFileError(
            `${cursor.what}: a line table at 0x${offset.toString(16)} is of version ${version}: 2 to 5 can be read`,
        );
    }
    if (version >= 5) {
        addressSize = cursor.u8();
        cursor.skip(1);
    }
    const headerLength = cursor.offset(offsetSize);
    const program = offset + (cursor.at - start) + headerLength;
    const minimumInstructionLength = cursor.u8();
    const operationsPerInstruction = version >= 4 ? cursor.u8() : 1;
    const defaultIsStatement = cursor.u8() !== 0;
    const lineBase = cursor.i8();
    const lineRange = cursor.u8();
    const opcodeBase = cursor.u8();
    const operandCounts = new Uint8Array(Math.max(1, opcodeBase));
    for (let opcode = 1; opcode < opcodeBase; opcode++) operandCounts[opcode] = cursor.u8();
    if (lineRange === 0 || program > end) {
        throw new SymbolFileError(`${cursor.what}: corrupt: the line table at 0x${offset.toString(16)}`);
    }
    const format = { version, addressSize, offsetSize };
    const tables = version >= 5 ? readTables(cursor, format, strings) : readOldTables(cursor);
    return {
        ...{ offset, program, end, ...format, minimumInstructionLength, operationsPerInstruction },
        ...{ defaultIsStatement, lineBase, lineRange, opcodeBase, operandCounts, ...tables },
    };
}

type Tables = Pick<LineHeader, 'directories' | 'fileNames' | 'fileDirectories'>;

function readTables(cursor: Cursor, format: UnitFormat, strings: StringCache): Tables {
    const directories = readEntries(cursor, format, strings);
    const files = readEntries(cursor, format, strings);
    return {
        directories: directories.names,
        fileNames: files.names,
        fileDirectories: Uint32Array.from(files.directories),
    };
}

function readEntries(
    cursor: Cursor,
    format: UnitFormat,
    strings: StringCache,
): { names: string[]; directories: number[] } {
    const formatCount = cursor.u8();
    if (formatCount > MOST_FORMATS) {
        throw new SymbolFileError(`${cursor.what}: corrupt: ${formatCount} fields in a table of files`);
    }
    const contents: number[] = [];
    const forms: number[] = [];
    for (let index = 0; index < formatCount; index++) {
        contents.push(cursor.uleb());
        forms.push(cursor.uleb());
    }
    const count = cursor.uleb();
    // Each entry takes a byte at least, unless it says nothing.
    if (count > MOST_FILES || count > cursor.left) {
        throw new SymbolFileError(`${cursor.what}: corrupt: a table of ${count} files`);
    }
    const names: string[] = [];
    const directories: number[] = [];
    for (let index = 0; index < count; index++) {
        let name = '';
        let directory = 0;
        for (let field = 0; field < formatCount; field++) {
            const form = forms[field];
            switch (contents[field] as Content) {
                case Content.Path:
                    if (form === (Form.LineStrp as number) || form === (Form.Strp as number)) {
                        name = strings.get(form, cursor.offset(format.offsetSize));
                    } else {
                        const [value] = readForm(cursor, form, format);
                        name = typeof value === 'string' ? value : '';
                    }
                    break;
                case Content.DirectoryIndex: {
                    const [value] = form === (Form.Udata as number) ? [cursor.uleb()] : readForm(cursor, form, format);
                    directory = typeof value === 'number' ? value : 0;
                    break;
                }
                default:
                    skipForm(cursor, form, format);
            }
        }
        names.push(name);
        directories.push(directory);
    }
    return { names, directories };
}

function readOldTables(cursor: Cursor): Tables {
    const directories = [''];
    for (let name = cursor.string(); name !== ''; name = cursor.string()) {
        directories.push(name);
    }
    const fileNames = [''];
    const fileDirectories = [0];
    for (let name = cursor.string(); name !== ''; name = cursor.string()) {
        fileNames.push(name);
        fileDirectories.push(cursor.uleb());
        cursor.skipLeb();
        cursor.skipLeb();
    }
    return { directories, fileNames, fileDirectories: Uint32Array.from(fileDirectories) };
}

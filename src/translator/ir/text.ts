/**
 * The IR's text form, one operation a line: `v3 = i64.add v1, v2`, `set.i64 rax, v3`. {@link parseIr} reads what
 * {@link printIr} writes; the Translator view and the filetests use it.
 */
import { GPR_NAMES } from '../../isa/x86';
import { StateOffset, gprOffset, vectorOffset } from '../../machine/state';
import { type Helper, IrFunction, NONE } from './function';
import {
    FIRST_PURE,
    MEMORY_ACCESS_TYPE,
    OP_NAMES,
    Op,
    PURE_OPERATIONS,
    STATE_ACCESS_TYPE,
    TYPE_NAMES,
    Type,
    pureOperation,
} from './opcodes';

export const STATE_ACCESS_NAMES: readonly string[] = [
    'u8', 'u16', 'i32', 'i64', 'f32', 'f64', 'v128', 'u32as64', 's32as64', 'u8as64', 'u16as64',
]; // prettier-ignore
export const MEMORY_ACCESS_NAMES: readonly string[] = ['m8', 'm16', 'm32', 'm64', 'm128'];

/** Names of the state fields that IR commonly touches; others are written as hexadecimal offsets. */
const FIELD_NAMES = new Map<number, string>([
    ...GPR_NAMES[8].map((name, i): [number, string] => [gprOffset(i), name]),
    ...Array.from({ length: 16 }, (_, i): [number, string] => [vectorOffset(i), `xmm${i}`]),
    [StateOffset.flagResult, 'flagResult'],
    [StateOffset.flagAux, 'flagAux'],
    [StateOffset.rflags, 'rflags'],
    [StateOffset.repeatStop, 'repeatStop'],
    [StateOffset.mxcsr, 'mxcsr'],
    [StateOffset.scratch, 'scratch'],
    [StateOffset.accessAddress, 'accessAddress'],
]);
const FIELD_OFFSETS = new Map([...FIELD_NAMES].map(([offset, name]) => [name, offset]));

/** Where a text is wrong. */
export class IrSyntaxError extends Error {
    constructor(
        readonly line: number,
        message: string,
    ) {
        super(`line ${line}: ${message}`);
    }
}

export function printIr(ir: IrFunction): string {
    const lines: string[] = [];
    let indent = '';
    for (let i = 0; i < ir.length; i++) {
        const op = ir.op[i];
        if (op === Op.Else || op === Op.End || op === Op.LoopEnd || op === Op.SideExitEnd) {
            indent = indent.slice(2);
        }
        lines.push(indent + printOperation(ir, i));
        if (op === Op.If || op === Op.Else || op === Op.Loop || op === Op.SideExit) {
            indent += '  ';
        }
    }
    return lines.join('\n') + '\n';
}

function field(offset: number): string {
    return FIELD_NAMES.get(offset) ?? `0x${offset.toString(16)}`;
}

function hexBytes(bytes: Uint8Array): string {
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

function constant64(low: number, high: number): string {
    const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
    return value >= -4096n && value <= 4096n ? String(value) : `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** One operation as text, without indentation. */
export function printOperation(ir: IrFunction, i: number): string {
    const op = ir.op[i];
    const { a, b, c, d } = { a: ir.a[i], b: ir.b[i], c: ir.c[i], d: ir.d[i] };
    const v = (value: number): string => (value === NONE ? '-' : `v${value}`);
    const result = ir.type[i] === Type.Void ? '' : `v${i} = `;
    if (op >= FIRST_PURE) {
        const operation = PURE_OPERATIONS[op - FIRST_PURE];
        const operands = [a, b, c].slice(0, operation.operands.length).map(v);
        return `${result}${operation.name} ${[...operands, ...(operation.hasLane ? [`#${d}`] : [])].join(', ')}`;
    }
    const name = OP_NAMES[op];
    const type = TYPE_NAMES[ir.type[i]];
    switch (op) {
        case Op.Const32:
            return `${result}const.i32 ${a}`;
        case Op.Const64:
            return `${result}const.i64 ${constant64(a, b)}`;
        case Op.ConstV128:
            return `${result}const.v128 ${hexBytes(ir.vectors[a])}`;
        case Op.Select:
            return `${result}select.${type} ${v(a)}, ${v(b)}, ${v(c)}`;
        case Op.Shuffle:
            return `${result}shuffle ${v(a)}, ${v(b)}, ${hexBytes(ir.vectors[c])}`;
        case Op.Get:
            return `${result}get.${STATE_ACCESS_NAMES[b]} ${field(a)}`;
        case Op.Set:
            return `set.${STATE_ACCESS_NAMES[b]} ${field(a)}, ${v(c)}`;
        case Op.GetIndexed:
            return `${result}getx.${STATE_ACCESS_NAMES[b]} ${field(a)}, ${v(c)}`;
        case Op.SetIndexed:
            return `setx.${STATE_ACCESS_NAMES[b]} ${field(a)}, ${v(c)}, ${v(d)}`;
        case Op.SetCarries:
            return `${name}.${a !== 0 ? 'subtract' : 'add'} #${b}, ${v(c)}`;
        case Op.Record:
            return `${result}record.${STATE_ACCESS_NAMES[b]} #${a}`;
        case Op.Variable:
            return `${result}var ${v(a)}`;
        case Op.VariableGet:
            return `${result}var.get ${v(a)}`;
        case Op.VariableSet:
            return `var.set ${v(a)}, ${v(b)}`;
        case Op.If:
            return `if ${v(a)}`;
        case Op.LoopEnd:
            return `loop.end ${v(a)}`;
        case Op.Load:
            return `${result}load.${MEMORY_ACCESS_NAMES[b]}${d !== 0 ? '.rmw' : ''} ${v(a)}, exit ${c}`;
        case Op.Store:
            return `store.${MEMORY_ACCESS_NAMES[b]} ${v(a)}, ${v(c)}, exit ${d}`;
        case Op.HostAddress:
            return `${result}hostaddr.${b !== 0 ? 'write' : 'read'} ${v(a)}`;
        case Op.MemoryCopy:
        case Op.MemoryFill:
            return `${name} ${v(a)}, ${v(b)}, ${v(c)}`;
        case Op.Call: {
            const helper = ir.helpers[a];
            const signature = `(${helper.parameters.map(t => TYPE_NAMES[t]).join(' ')}) ${TYPE_NAMES[helper.result]}`;
            const args = ir.extra.slice(b, b + c).map(v);
            return `${result}call ${helper.name} ${signature}${args.map(arg => `, ${arg}`).join('')}, exit ${d}`;
        }
        case Op.Raise:
            return `raise #${a}, ${v(b)}, exit ${c}`;
        case Op.JumpRelative:
            return `jump ${constant64(a, b)}`;
        case Op.JumpIndirect:
            return `jump.indirect ${v(a)}`;
        case Op.System:
            return `system #${a}, #${b}, exit ${c}`;
        case Op.SideExit:
            return `exit ${a}, #${b}, #${c}`;
        case Op.Rip:
            return `${result}rip ${constant64(a, b)}`;
        default:
            return `${result}${name}`;
    }
}

/**
 * Reads a text form. Value names must be the operations' numbers, as printed.
 * @throws IrSyntaxError naming the line
 */
export function parseIr(text: string): IrFunction {
    const ir = new IrFunction();
    text.split('\n').forEach((raw, index) => {
        const line = raw.replace(/;.*/, '').trim();
        if (line !== '') {
            new LineParser(ir, line, index + 1).parse();
        }
    });
    return ir;
}

class LineParser {
    private readonly result: string | undefined;
    private readonly name: string;
    private readonly operands: string[];

    constructor(
        private readonly ir: IrFunction,
        line: string,
        private readonly number: number,
    ) {
        const match = /^(?:v(\d+) = )?([\w.]+)\s*(.*)$/.exec(line);
        if (match === null) {
            throw new IrSyntaxError(number, `'${line}' is not an operation`);
        }
        this.result = match[1];
        this.name = match[2];
        this.operands = match[3] === '' ? [] : match[3].split(/,\s*/);
        if (this.result !== undefined && Number(this.result) !== ir.length) {
            throw new IrSyntaxError(number, `v${this.result} must be named v${ir.length}, after its position`);
        }
    }

    parse(): void {
        const { ir, name } = this;
        const [head, suffix = '', modifier] = name.split('.');
        switch (name) {
            case 'const.i32':
                ir.append(Op.Const32, Type.I32, Number(this.operand(0)) | 0);
                return;
            case 'const.i64': {
                const [low, high] = this.halves(0);
                ir.append(Op.Const64, Type.I64, low, high);
                return;
            }
            case 'const.v128':
                ir.append(Op.ConstV128, Type.V128, ir.vectors.push(this.bytes(0)) - 1);
                return;
            case 'shuffle':
                ir.append(Op.Shuffle, Type.V128, this.value(0), this.value(1), ir.vectors.push(this.bytes(2)) - 1);
                return;
            case 'var':
                ir.append(Op.Variable, ir.type[this.value(0)], this.value(0));
                return;
            case 'var.get':
                ir.append(Op.VariableGet, ir.type[this.value(0)], this.value(0));
                return;
            case 'var.set':
                ir.append(Op.VariableSet, Type.Void, this.value(0), this.value(1));
                return;
            case 'if':
                ir.append(Op.If, Type.Void, this.value(0));
                return;
            case 'loop.end':
                ir.append(Op.LoopEnd, Type.Void, this.value(0), this.openLoop());
                return;
            case 'memcopy':
            case 'memfill':
                ir.append(
                    name === 'memcopy' ? Op.MemoryCopy : Op.MemoryFill,
                    Type.Void,
                    this.value(0),
                    this.value(1),
                    this.value(2),
                );
                return;
            case 'call':
                this.call();
                return;
            case 'raise':
                ir.append(Op.Raise, Type.Void, this.count(0), this.value(1), this.exit(2));
                return;
            case 'jump': {
                const [low, high] = this.halves(0);
                ir.append(Op.JumpRelative, Type.Void, low, high);
                return;
            }
            case 'jump.indirect':
                ir.append(Op.JumpIndirect, Type.Void, this.value(0));
                return;
            case 'system':
                ir.append(Op.System, Type.Void, this.count(0), this.count(1), this.exit(2));
                return;
            case 'exit':
                ir.append(Op.SideExit, Type.Void, Number(this.operand(0)), this.count(1), this.count(2));
                return;
            case 'rip': {
                const [low, high] = this.halves(0);
                ir.append(Op.Rip, Type.I64, low, high);
                return;
            }
            case 'else':
            case 'end':
            case 'loop':
            case 'next':
            case 'exit.end':
                ir.append(OP_NAMES.indexOf(name), Type.Void);
                return;
            case 'record.address':
                ir.append(Op.RecordAddress, Type.I32);
                return;
        }
        switch (head) {
            case 'select':
                ir.append(Op.Select, ir.type[this.value(0)], this.value(0), this.value(1), this.value(2));
                return;
            case 'get':
                ir.append(Op.Get, STATE_ACCESS_TYPE[this.access(suffix)], this.field(0), this.access(suffix));
                return;
            case 'set':
                ir.append(Op.Set, Type.Void, this.field(0), this.access(suffix), this.value(1));
                return;
            case 'getx': {
                const access = this.access(suffix);
                ir.append(Op.GetIndexed, STATE_ACCESS_TYPE[access], this.field(0), access, this.value(1));
                return;
            }
            case 'setx':
                ir.append(Op.SetIndexed, Type.Void, this.field(0), this.access(suffix), this.value(1), this.value(2));
                return;
            case 'carries': {
                const kind = ['add', 'subtract'].indexOf(suffix);
                if (kind < 0) throw this.error(`unknown operation ${name}`);
                ir.append(Op.SetCarries, Type.Void, kind, this.count(0), this.value(1));
                return;
            }
            case 'record':
                ir.append(Op.Record, STATE_ACCESS_TYPE[this.access(suffix)], this.count(0), this.access(suffix));
                return;
            case 'load': {
                const access = this.memoryAccess(suffix);
                const rmw = modifier === 'rmw' ? 1 : 0;
                ir.append(Op.Load, MEMORY_ACCESS_TYPE[access], this.value(0), access, this.exit(1), rmw);
                return;
            }
            case 'store':
                ir.append(Op.Store, Type.Void, this.value(0), this.memoryAccess(suffix), this.value(1), this.exit(2));
                return;
            case 'hostaddr':
                ir.append(Op.HostAddress, Type.I32, this.value(0), suffix === 'write' ? 1 : 0);
                return;
        }
        this.pure();
    }

    private pure(): void {
        let operation;
        try {
            operation = pureOperation(this.name);
        } catch {
            throw this.error(`unknown operation ${this.name}`);
        }
        const values = operation.operands.map((_, i) => this.value(i));
        const lane = operation.hasLane ? this.count(operation.operands.length) : 0;
        this.ir.append(operation.code, operation.result, values[0], values[1] ?? NONE, values[2] ?? NONE, lane);
    }

    private call(): void {
        const match = /^(\w+) \(([\w ]*)\) (\w+)$/.exec(this.operand(0));
        if (match === null) {
            throw this.error('a call is written `call name (parameter types) result type, arguments, exit n`');
        }
        const type = (name: string): Type => {
            const index = TYPE_NAMES.indexOf(name);
            if (index < 0) {
                throw this.error(`unknown type ${name}`);
            }
            return index;
        };
        const parameters = match[2] === '' ? [] : match[2].split(' ').map(type);
        const helper: Helper = { name: match[1], parameters, result: type(match[3]) };
        const known = this.ir.helpers.findIndex(other => other.name === helper.name);
        const index = known >= 0 ? known : this.ir.helpers.push(helper) - 1;
        const args = parameters.map((_, i) => this.value(i + 1));
        const first = this.ir.extra.length;
        this.ir.extra.push(...args);
        this.ir.append(Op.Call, helper.result, index, first, args.length, this.exit(args.length + 1));
    }

    private error(message: string): IrSyntaxError {
        return new IrSyntaxError(this.number, message);
    }

    private operand(i: number): string {
        if (i >= this.operands.length) {
            throw this.error(`${this.name} needs operand ${i + 1}`);
        }
        return this.operands[i];
    }

    private value(i: number): number {
        const text = this.operand(i);
        if (text === '-') {
            return NONE;
        }
        const match = /^v(\d+)$/.exec(text);
        if (match === null) {
            throw this.error(`'${text}' is not a value`);
        }
        return Number(match[1]);
    }

    private count(i: number): number {
        const match = /^#(-?\d+)$/.exec(this.operand(i));
        if (match === null) {
            throw this.error(`'${this.operand(i)}' is not a #number`);
        }
        return Number(match[1]);
    }

    private exit(i: number): number {
        const match = /^exit (-?\d+)$/.exec(this.operand(i));
        if (match === null) {
            throw this.error(`'${this.operand(i)}' is not 'exit n'`);
        }
        return Number(match[1]);
    }

    private field(i: number): number {
        const text = this.operand(i);
        const offset = FIELD_OFFSETS.get(text) ?? (/^0x[0-9a-f]+$/.test(text) ? Number(text) : undefined);
        if (offset === undefined) {
            throw this.error(`unknown state field '${text}'`);
        }
        return offset;
    }

    private halves(i: number): [number, number] {
        let value: bigint;
        try {
            value = BigInt(this.operand(i));
        } catch {
            throw this.error(`'${this.operand(i)}' is not a number`);
        }
        return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
    }

    private bytes(i: number): Uint8Array {
        const text = this.operand(i);
        if (!/^[0-9a-f]{32}$/.test(text)) {
            throw this.error(`'${text}' is not 16 bytes in hexadecimal`);
        }
        return Uint8Array.from(text.match(/../g)!, pair => parseInt(pair, 16));
    }

    private access(name: string): number {
        const index = STATE_ACCESS_NAMES.indexOf(name);
        if (index < 0) {
            throw this.error(`unknown state access '${name}'`);
        }
        return index;
    }

    private memoryAccess(name: string): number {
        const index = MEMORY_ACCESS_NAMES.indexOf(name);
        if (index < 0) {
            throw this.error(`unknown memory access '${name}'`);
        }
        return index;
    }

    /** The Loop operation that the loop.end under construction closes. */
    private openLoop(): number {
        let depth = 0;
        for (let i = this.ir.length - 1; i >= 0; i--) {
            if (this.ir.op[i] === Op.LoopEnd) {
                depth++;
            } else if (this.ir.op[i] === Op.Loop && depth-- === 0) {
                return i;
            }
        }
        throw this.error('loop.end without loop');
    }
}

/** Parameters and local variables of a frame (DWARF 5, 4.1): where they are, and what they hold. */
import { fromAddress, toAddress } from '../../symbols/cursor';
import type { Block } from '../../symbols/dwarf/blocks';
import { At, Tag } from '../../symbols/dwarf/constants';
import type { Die } from '../../symbols/dwarf/die';
import {
    evaluateLocation,
    evaluateNumber,
    type ExpressionContext,
    type Location,
    type StackType,
} from '../../symbols/dwarf/expression';
import { expressionAt } from '../../symbols/dwarf/location-lists';
import { arrayLength } from '../../symbols/dwarf/type-reader';
import type { Unit } from '../../symbols/dwarf/unit';
import type { Program } from '../../symbols/program';
import { bare, type CType, sizeOf } from '../../symbols/types';
import { lookupAddress, numberOf, type RegisterNumbering, wideRegister } from '../../symbols/unwind';
import { loadValue, UNREAD } from '../expression/memory';
import type { EvaluationContext } from '../expression/context';
import { makeValue, type Place, type Value } from '../expression/value';
import { withLengths } from './array-lengths';
import { whatIsReadable } from './program-lines';
import type { PhysicalFrame, SourceFrame, StackMemory } from './source-stack';

/** Values that a variable can have are no larger than this where they do not lie in memory. */
const LARGEST_IMAGE = 1 << 16;
/** Values at calls that need values at calls: deeper is not worth it. */
const DEEPEST_ENTRY = 8;

export interface FrameVariable {
    readonly name: string;
    readonly die: Die;
    readonly isParameter: boolean;
    /** A variable of an inner block has the same name. */
    readonly isHidden: boolean;
    /** Declared `static` in the function: it is not in the frame. */
    readonly isStatic: boolean;
}

/** What reading a frame's variables takes. */
export interface FrameHost {
    readonly memory: StackMemory;
    /** Reads typed values. */
    readonly context: EvaluationContext;
    /** The frame that a physical frame was called from. */
    callerOf(frame: PhysicalFrame): PhysicalFrame | undefined;
    cfaOf(frame: PhysicalFrame): bigint | undefined;
    programAt(address: bigint): Program | undefined;
    /** A register of more than 64 bits, as the vCPU has it now. */
    wideRegister(name: string): bigint | undefined;
    /** What thread-local variables are found by. */
    threadPointer(numbering: RegisterNumbering): bigint;
}

/** The variables that are in scope, parameters first, in the order of their declarations; inner ones before outer ones. */
export function variablesOf({ blocks }: SourceFrame): FrameVariable[] {
    const seen = new Set<string>();
    const found: FrameVariable[] = [];
    for (const block of [...blocks].reverse()) {
        const here: FrameVariable[] = [];
        for (const die of block.variables) {
            const name = whatIsReadable(() => die.effectiveName);
            if (name === undefined || name === '') continue;
            const isParameter = die.tag === (Tag.FormalParameter as number);
            here.push({ name, die, isParameter, isHidden: seen.has(name), isStatic: isStatic(die) });
        }
        for (const { name } of here) seen.add(name);
        found.push(...here);
    }
    return found;
}

const OP_ADDR = 0x03;
const OP_ADDRX = 0xa1;
const OP_GNU_ADDR_INDEX = 0xfb;

/** Whether a variable lies at a fixed address. */
function isStatic(die: Die): boolean {
    for (const origin of die.origins()) {
        const location = origin.raw(At.Location)?.value;
        if (location === undefined) continue;
        return location instanceof Uint8Array && [OP_ADDR, OP_ADDRX, OP_GNU_ADDR_INDEX].includes(location[0]);
    }
    return false;
}

/** Reads the variables of one frame. */
export class FrameReader {
    private readonly linked: number;
    private depth = 0;

    constructor(
        private readonly program: Program,
        private readonly frame: PhysicalFrame,
        /** The blocks that the code is in, from the concrete function inwards. */
        private readonly chain: readonly Block[],
        private readonly host: FrameHost,
    ) {
        this.linked = program.linked(lookupAddress(frame.state));
    }

    /**
     * @param isRead false where only its type and its place count: if it is in memory, its value is some number then
     * @throws SymbolFileError if the debugging information is corrupt, EvaluationProblem if memory is missing
     */
    value(die: Die, isRead = true): Value {
        const type = withLengths(this.program.types.typeOf(die), array =>
            arrayLength(array, (range, name) => this.bound(range, name)),
        );
        for (const origin of die.origins()) {
            const constant = origin.raw(At.ConstValue)?.value;
            if (constant !== undefined) {
                return constantValue(constant, type);
            }
            const expression = expressionAt(origin, At.Location, this.linked);
            if (expression !== undefined) {
                return this.at(evaluateLocation(expression, this.context(die.unit)), type, die.unit, isRead);
            }
        }
        return { ...makeValue(0n, type), unavailable: 'optimised out' };
    }

    /** A bound of an array that is an expression, or refers to a variable, often one of the compiler's own. */
    private bound(range: Die, name: At): number | undefined {
        if (this.depth >= DEEPEST_ENTRY) {
            return undefined;
        }
        this.depth++;
        try {
            const variable = range.reference(name);
            if (variable !== undefined) {
                const { bits, type, unavailable } = this.value(variable);
                return unavailable === undefined && bare(type).kind === 'integer' ? Number(bits) : undefined;
            }
            const expression = expressionAt(range, name, this.linked);
            const number = expression?.length ? evaluateNumber(expression, this.context(range.unit)) : undefined;
            return number === undefined ? undefined : Number(BigInt.asIntN(64, number));
        } finally {
            this.depth--;
        }
    }

    /** What lies at a location, with a type. */
    private at(location: Location, type: CType, unit: Unit, isRead: boolean): Value {
        switch (location.kind) {
            case 'memory': {
                const place: Place = { kind: 'memory', space: 'linear', address: location.address };
                return loadValue(
                    isRead ? this.host.context : UNREAD,
                    { ...makeValue(location.address, type), place },
                    { type, offset: 0 },
                );
            }
            case 'unavailable':
                return { ...makeValue(0n, type), unavailable: location.reason };
            case 'implicitPointer':
                return {
                    ...makeValue(0n, type),
                    unavailable: 'optimised out; what it points to is known',
                    pointee: () => this.implicitPointee(location.die, location.offset, type, unit),
                };
            case 'register': {
                const bits = this.frame.state.registers[location.register];
                if (bits !== undefined && !isAggregate(type) && this.frame.origin === undefined) {
                    const name = this.frame.numbering.names[location.register];
                    return makeValue(bits, type, 'linear', { kind: 'register', name });
                }
            }
        }
        const size = Math.min(sizeOf(type), LARGEST_IMAGE);
        const image = this.imageOf(location, size);
        const whole: Value = { ...makeValue(0n, type), image };
        if (!image.known.includes(true)) {
            return { ...makeValue(0n, type), unavailable: 'optimised out' };
        }
        return loadValue(this.host.context, whole, { type, offset: 0 });
    }

    private imageOf(location: Location, size: number): { bytes: Uint8Array; known: boolean[] } {
        const bytes = new Uint8Array(size);
        const known = Array.from({ length: size }, () => false);
        const put = (at: number, part: Uint8Array): void => {
            part.subarray(0, Math.max(0, size - at)).forEach((byte, index) => {
                bytes[at + index] = byte;
                known[at + index] = true;
            });
        };
        switch (location.kind) {
            case 'value': {
                // A number is extended to the size of its type.
                const extended = new Uint8Array(Math.max(size, location.bytes.length));
                extended.set(location.bytes);
                put(0, extended);
                break;
            }
            case 'register': {
                const bits = this.frame.state.registers[location.register];
                if (bits !== undefined) put(0, littleEndian(bits, Math.min(8, size)));
                else this.putWide(location.register, put);
                break;
            }
            case 'memory': {
                const read = this.host.memory.readMemory(location.address, size);
                if (read !== undefined) put(0, read);
                break;
            }
            case 'pieces': {
                let bit = 0;
                for (const piece of location.pieces) {
                    if (bit + piece.size > size * 8) break;
                    const length = Math.ceil((piece.offset + piece.size) / 8);
                    const part = this.imageOf(piece.location, Math.min(length, LARGEST_IMAGE));
                    if (bit % 8 === 0 && piece.size % 8 === 0 && piece.offset % 8 === 0) {
                        const from = piece.offset / 8;
                        for (let index = 0; index < piece.size / 8; index++) {
                            bytes[bit / 8 + index] = part.bytes[from + index];
                            known[bit / 8 + index] = part.known[from + index];
                        }
                    } else {
                        this.putBits(bytes, known, bit, part, piece.offset, piece.size);
                    }
                    bit += piece.size;
                }
            }
        }
        return { bytes, known };
    }

    /** Vector and x87 registers are known as they are now: of callers nobody tells what they had. */
    private putWide(register: number, put: (at: number, part: Uint8Array) => void): void {
        const { origin, numbering } = this.frame;
        const wide = origin === undefined ? wideRegister(numbering, register) : undefined;
        const bits = wide && this.host.wideRegister(wide.name);
        if (wide !== undefined && bits !== undefined) put(0, littleEndian(bits, wide.size));
    }

    private putBits(
        bytes: Uint8Array,
        known: boolean[],
        bit: number,
        part: { readonly bytes: Uint8Array; readonly known: readonly boolean[] },
        offset: number,
        size: number,
    ): void {
        for (let index = 0; index < size; index++) {
            const from = offset + index;
            const to = bit + index;
            if (!part.known[from >> 3]) continue;
            known[to >> 3] = true;
            bytes[to >> 3] |= ((part.bytes[from >> 3] >> (from & 7)) & 1) << (to & 7);
        }
    }

    private implicitPointee(dieOffset: number, offset: number, type: CType, unit: Unit): Value {
        const pointer = bare(type);
        const target = pointer.kind === 'pointer' ? pointer.to : type;
        const die = unit.file.dieAt(dieOffset, unit);
        if (die === undefined || ++this.depth > DEEPEST_ENTRY) {
            return { ...makeValue(0n, target), unavailable: 'optimised out' };
        }
        const whole = this.value(die);
        this.depth--;
        if (whole.unavailable !== undefined || (offset === 0 && sizeOf(whole.type) === sizeOf(target))) {
            return { ...whole, type: target };
        }
        return loadValue(this.host.context, withImage(whole), { type: target, offset });
    }

    // ---- what expressions ask for --------------------------------------------------------------------------------

    private context(unit: Unit): ExpressionContext {
        const { program, frame, host } = this;
        const { addressSize, offsetSize, version } = unit.format;
        return {
            addressSize,
            offsetSize,
            version,
            register: number => frame.state.registers[number],
            memory: (address, size) => host.memory.readMemory(address, size),
            relocate: address => program.relocate(address),
            threadLocal: offset => program.threadLocal(offset, host.threadPointer(frame.numbering)),
            frameBase: () => this.frameBase(),
            cfa: () => host.cfaOf(frame),
            entryValue: expression => this.entryValue(expression),
            parameterValue: offset => this.parameterValue(unit, offset),
            indexedAddress: index => {
                const address = unit.indexedAddress(index);
                return address === undefined ? undefined : toAddress(address);
            },
            baseType: offset => baseType(program, unit, offset),
            callee: (offset, relative) => {
                const die = relative ? unit.tryDie(unit.offset + offset) : unit.file.dieAt(offset, unit);
                return die && expressionAt(die, At.Location, this.linked);
            },
        };
    }

    /** Of the concrete function, whose entry says how it is found. */
    private frameBase(): bigint | undefined {
        const root = this.chain.at(0);
        const expression = root && expressionAt(root.die, At.FrameBase, this.linked);
        if (root === undefined || expression === undefined) {
            return undefined;
        }
        return evaluateNumber(expression, {
            ...this.context(root.die.unit),
            frameBase: () => undefined,
        });
    }

    /** What a register held when the function was called: some callers tell (DW_TAG_call_site_parameter). */
    private entryValue(expression: Uint8Array): bigint | undefined {
        return this.fromCaller(parameter => {
            const location = parameter.raw(At.Location)?.value;
            return location instanceof Uint8Array && equal(location, expression);
        });
    }

    private parameterValue(unit: Unit, offset: number): bigint | undefined {
        return this.fromCaller(parameter => {
            const named = parameter.reference(At.CallParameter) ?? parameter.reference(At.AbstractOrigin);
            return named?.offset === unit.offset + offset;
        });
    }

    private fromCaller(matches: (parameter: Die) => boolean): bigint | undefined {
        const { frame, host } = this;
        const caller = host.callerOf(frame);
        if (caller === undefined || !caller.state.isReturn || ++this.depth > DEEPEST_ENTRY) {
            return undefined;
        }
        try {
            const address = lookupAddress(caller.state);
            const program = host.programAt(address);
            const linked = program?.linked(address);
            const chain = program?.info.blocksAt(linked!) ?? [];
            const returns = fromAddress(BigInt.asUintN(64, caller.state.pc - (program?.slide ?? 0n)));
            const site = chain
                .flatMap(({ callSites }) => callSites)
                .find(die => (die.address(At.CallReturnPc) ?? die.address(At.LowPc)) === returns);
            if (program === undefined || site === undefined) {
                return undefined;
            }
            const reader = new FrameReader(program, caller, chain, host);
            if (!this.isCallee(site, reader)) {
                return undefined;
            }
            for (const parameter of site.children()) {
                if (!matches(parameter)) continue;
                const value = parameter.raw(At.CallValue)?.value ?? parameter.raw(At.GnuCallSiteValue)?.value;
                return value instanceof Uint8Array ? evaluateNumber(value, reader.context(site.unit)) : undefined;
            }
            return undefined;
        } finally {
            this.depth--;
        }
    }

    /** Whether a call led to this function: a tail call in between would have changed what it was given. */
    private isCallee(site: Die, caller: FrameReader): boolean {
        const own = this.chain.at(0)?.die;
        const origin = site.reference(At.CallOrigin) ?? site.reference(At.AbstractOrigin);
        if (own === undefined) {
            return false;
        }
        if (origin !== undefined) {
            const name = (die: Die): string | undefined => die.string(At.LinkageName) ?? die.effectiveName;
            return name(origin) === name(own);
        }
        const entry = own.address(At.LowPc);
        return entry !== undefined && caller.indirectTarget(site) === this.program.linear(entry);
    }

    /** The linear address that a call through a pointer led to, if its place can still be known. */
    indirectTarget(site: Die): bigint | undefined {
        const target = site.raw(At.CallTarget)?.value ?? site.raw(At.GnuCallSiteTarget)?.value;
        return target instanceof Uint8Array ? evaluateNumber(target, this.context(site.unit)) : undefined;
    }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
    return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function isAggregate(type: CType): boolean {
    const { kind } = bare(type);
    return kind === 'record' || kind === 'array';
}

function littleEndian(bits: bigint, size: number): Uint8Array {
    return Uint8Array.from({ length: size }, (_, index) => Number((bits >> BigInt(8 * index)) & 0xffn));
}

function constantValue(constant: unknown, type: CType): Value {
    if (constant instanceof Uint8Array) {
        const known = Array.from(constant, () => true);
        const image = { bytes: constant, known };
        return isAggregate(type)
            ? { ...makeValue(0n, type), image }
            : makeValue(numberOf(constant.subarray(0, 8)), type);
    }
    const isNumber = typeof constant === 'number' || typeof constant === 'bigint';
    return isNumber ? makeValue(BigInt(constant), type) : { ...makeValue(0n, type), unavailable: 'optimised out' };
}

function baseType(program: Program, unit: Unit, offset: number): StackType | undefined {
    const die = unit.tryDie(unit.offset + offset);
    const type = die && bare(program.types.read(die));
    switch (type?.kind) {
        case 'integer':
        case 'enum':
            return { size: type.width / 8, signed: type.signed, float: false };
        case 'float':
            return { size: type.size, signed: true, float: true };
        case 'pointer':
            return { size: type.size ?? 8, signed: false, float: false };
        default:
            return undefined;
    }
}

/** A value as bytes, so that parts of it can be taken. */
function withImage(value: Value): Value {
    if (value.image !== undefined || value.place?.kind === 'memory') {
        return value;
    }
    const bytes = littleEndian(BigInt.asUintN(64, value.bits), Math.min(8, sizeOf(value.type)));
    return { ...value, image: { bytes, known: Array.from(bytes, () => true) } };
}

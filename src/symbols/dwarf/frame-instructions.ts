/** Call frame instructions (DWARF 5, 6.4.2): rules for the registers of a caller, as they hold at an address. */
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';

/** Registers beyond this are no machine's of ours; rules for them are passed over. */
const MOST_REGISTERS = 64;
/** `DW_CFA_remember_state` nests no deeper. */
const DEEPEST_MEMORY = 64;

/** How a register of the caller is found. */
export type Rule =
    | { readonly kind: 'undefined' }
    | { readonly kind: 'same' }
    | { readonly kind: 'offset'; readonly offset: number }
    | { readonly kind: 'valueOffset'; readonly offset: number }
    | { readonly kind: 'register'; readonly register: number }
    | { readonly kind: 'expression'; readonly expression: Uint8Array }
    | { readonly kind: 'valueExpression'; readonly expression: Uint8Array };

/** What the canonical frame address is computed from. */
export type CfaRule =
    | { readonly kind: 'register'; readonly register: number; readonly offset: number }
    | { readonly kind: 'expression'; readonly expression: Uint8Array };

/** What operands of call frame instructions count in. */
export interface FrameUnits {
    readonly codeAlignment: number;
    readonly dataAlignment: number;
    readonly addressSize: number;
}

/** Executes call frame instructions up to an address. */
export class FrameMachine {
    cfa: CfaRule | undefined;
    rules = new Map<number, Rule>();
    private initial: ReadonlyMap<number, Rule> = new Map();
    private readonly remembered: { cfa: CfaRule | undefined; rules: Map<number, Rule> }[] = [];
    private passed = false;

    constructor(
        private readonly units: FrameUnits,
        private location: number,
        private readonly target: number,
    ) {}

    rememberInitial(): void {
        this.initial = new Map(this.rules);
    }

    run(cursor: Cursor): void {
        const { codeAlignment, dataAlignment, addressSize } = this.units;
        while (cursor.left > 0 && !this.passed) {
            const op = cursor.u8();
            const low = op & 0x3f;
            switch (op >> 6) {
                case 1:
                    this.advance(low * codeAlignment);
                    continue;
                case 2:
                    this.set(low, { kind: 'offset', offset: cursor.uleb() * dataAlignment });
                    continue;
                case 3:
                    this.restore(low);
                    continue;
            }
            switch (low) {
                case 0x00: // nop
                    break;
                case 0x01: // set_loc
                    this.advanceTo(cursor.address(addressSize));
                    break;
                case 0x02:
                    this.advance(cursor.u8() * codeAlignment);
                    break;
                case 0x03:
                    this.advance(cursor.u16() * codeAlignment);
                    break;
                case 0x04:
                    this.advance(cursor.u32() * codeAlignment);
                    break;
                case 0x05: // offset_extended
                    this.set(cursor.uleb(), { kind: 'offset', offset: cursor.uleb() * dataAlignment });
                    break;
                case 0x06:
                    this.restore(cursor.uleb());
                    break;
                case 0x07:
                    this.set(cursor.uleb(), { kind: 'undefined' });
                    break;
                case 0x08:
                    this.set(cursor.uleb(), { kind: 'same' });
                    break;
                case 0x09:
                    this.set(cursor.uleb(), { kind: 'register', register: cursor.uleb() });
                    break;
                case 0x0a: // remember_state
                    if (this.remembered.length >= DEEPEST_MEMORY) throw this.corrupt(cursor);
                    this.remembered.push({ cfa: this.cfa, rules: new Map(this.rules) });
                    break;
                case 0x0b: {
                    const state = this.remembered.pop();
                    if (state === undefined) throw this.corrupt(cursor);
                    this.cfa = state.cfa;
                    this.rules = state.rules;
                    break;
                }
                case 0x0c: // def_cfa
                    this.cfa = { kind: 'register', register: cursor.uleb(), offset: cursor.uleb() };
                    break;
                case 0x0d:
                    this.cfa = { kind: 'register', register: cursor.uleb(), offset: this.cfaOffset };
                    break;
                case 0x0e:
                    this.cfa = { kind: 'register', register: this.cfaRegister(cursor), offset: cursor.uleb() };
                    break;
                case 0x0f:
                    this.cfa = { kind: 'expression', expression: cursor.block(cursor.uleb()) };
                    break;
                case 0x10:
                    this.set(cursor.uleb(), { kind: 'expression', expression: cursor.block(cursor.uleb()) });
                    break;
                case 0x11:
                    this.set(cursor.uleb(), { kind: 'offset', offset: cursor.sleb() * dataAlignment });
                    break;
                case 0x12:
                    this.cfa = { kind: 'register', register: cursor.uleb(), offset: cursor.sleb() * dataAlignment };
                    break;
                case 0x13:
                    this.cfa = {
                        kind: 'register',
                        register: this.cfaRegister(cursor),
                        offset: cursor.sleb() * dataAlignment,
                    };
                    break;
                case 0x14:
                    this.set(cursor.uleb(), { kind: 'valueOffset', offset: cursor.uleb() * dataAlignment });
                    break;
                case 0x15:
                    this.set(cursor.uleb(), { kind: 'valueOffset', offset: cursor.sleb() * dataAlignment });
                    break;
                case 0x16:
                    this.set(cursor.uleb(), { kind: 'valueExpression', expression: cursor.block(cursor.uleb()) });
                    break;
                case 0x2e: // GNU_args_size
                    cursor.skipLeb();
                    break;
                case 0x2f: // GNU_negative_offset_extended
                    this.set(cursor.uleb(), { kind: 'offset', offset: -cursor.uleb() * dataAlignment });
                    break;
                default:
                    throw this.corrupt(cursor);
            }
        }
    }

    private get cfaOffset(): number {
        return this.cfa?.kind === 'register' ? this.cfa.offset : 0;
    }

    private cfaRegister(cursor: Cursor): number {
        if (this.cfa?.kind !== 'register') {
            throw this.corrupt(cursor);
        }
        return this.cfa.register;
    }

    private advance(by: number): void {
        this.advanceTo(this.location + by);
    }

    private advanceTo(location: number): void {
        this.passed = location > this.target;
        this.location = location;
    }

    private set(register: number, rule: Rule): void {
        if (register < MOST_REGISTERS) this.rules.set(register, rule);
    }

    private restore(register: number): void {
        const rule = this.initial.get(register);
        if (rule === undefined) this.rules.delete(register);
        else this.rules.set(register, rule);
    }

    private corrupt(cursor: Cursor): SymbolFileError {
        return new SymbolFileError(`${cursor.what}: corrupt: call frame instructions at 0x${cursor.at.toString(16)}`);
    }
}

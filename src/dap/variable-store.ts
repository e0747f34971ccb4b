/** Scopes and variables: a vCPU's registers, and what is known of an outer frame. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { RegisterGroupView, RegisterView } from '../debug/registers/register-file';
import { formatAddress } from '../debug/address';
import type { VariableScope, VariableView } from '../debug/source/variable-view';
import type { FrameOrigin } from '../debug/stack';
import type { DebugTarget, NamedFrame } from '../debug/target';
import { hex, inBase, presentRegister, registerText } from './presentation';
import { RequestError } from './request-error';
import type { NumberBase } from './session-context';

/** What a reference to variables stands for. */
type Container =
    | { readonly kind: 'group'; readonly vcpu: number; readonly name: string }
    | { readonly kind: 'parts'; readonly vcpu: number; readonly register: string }
    | { readonly kind: 'frame'; readonly vcpu: number; readonly depth: number }
    | { readonly kind: 'stack'; readonly vcpu: number; readonly depth: number }
    /** Variables of the program, by scope. */
    | { readonly kind: 'variables'; readonly vcpu: number; readonly depth: number; readonly scope: VariableScope }
    /** The parts of what an expression gives in a frame. */
    | ValueContainer;

interface ValueContainer {
    readonly kind: 'value';
    readonly vcpu: number;
    readonly depth: number;
    readonly expression: string;
    readonly indexed: boolean;
}

const SCOPE_NAMES: Readonly<Record<VariableScope, string>> = {
    arguments: 'Arguments',
    locals: 'Locals',
    statics: 'Statics',
};

/** Which of a container's variables a request wants. */
export interface Paging {
    readonly filter?: string;
    readonly start: number;
    /** 0: all. */
    readonly count: number;
}

/** What an assignment by name has changed. */
interface Assigned {
    readonly body: DebugProtocol.SetVariableResponse['body'];
    /** What was written, if it is in memory; `count` in bytes. */
    readonly memory?: { readonly memoryReference: string; readonly count: number };
}

/** Words of the stack that a frame shows. */
const STACK_WORDS = 64;

/**
 * References stay the same throughout a session: they name registers, not values, and so never go stale.
 */
export class VariableStore {
    private readonly containers: Container[] = [];
    private readonly references = new Map<string, number>();
    /** Registers at the present stop, by vCPU. */
    private readonly registers = new Map<number, Promise<RegisterGroupView[]>>();

    /** Values may have changed. */
    invalidate(): void {
        this.registers.clear();
    }

    async scopes(target: DebugTarget, vcpu: number, depth: number): Promise<DebugProtocol.Scope[]> {
        const stack = (): DebugProtocol.Scope => ({
            name: 'Stack',
            variablesReference: this.reference({ kind: 'stack', vcpu, depth }),
            indexedVariables: STACK_WORDS,
            expensive: false,
        });
        const ofProgram = ((await target.variables?.scopes(vcpu, depth)) ?? []).map(
            ({ scope, count }): DebugProtocol.Scope => ({
                name: SCOPE_NAMES[scope],
                presentationHint: scope === 'statics' ? undefined : scope,
                variablesReference: this.reference({ kind: 'variables', vcpu, depth, scope }),
                namedVariables: count,
                expensive: false,
            }),
        );
        if (depth > 0) {
            const variablesReference = this.reference({ kind: 'frame', vcpu, depth });
            const frame = { name: 'Frame', variablesReference, expensive: false, namedVariables: 2 };
            return [...ofProgram, frame, stack()];
        }
        const groups = await this.groups(target, vcpu);
        const registers = groups.map((group): DebugProtocol.Scope => ({
            name: group.name,
            presentationHint: 'registers',
            variablesReference: this.reference({ kind: 'group', vcpu, name: group.name }),
            namedVariables: group.registers.length,
            expensive: false,
        }));
        return [...ofProgram, ...registers, stack()];
    }

    async variables(
        target: DebugTarget,
        reference: number,
        { filter, start, count }: Paging,
        base: NumberBase,
    ): Promise<DebugProtocol.Variable[]> {
        const container = this.container(reference);
        const indexed = container.kind === 'stack' || (container.kind === 'value' && container.indexed);
        if (filter !== undefined && filter !== (indexed ? 'indexed' : 'named')) {
            return [];
        }
        const end = count === 0 ? Infinity : start + count;
        switch (container.kind) {
            case 'stack':
                return this.stackWords(target, container, start, Math.min(end, STACK_WORDS), base);
            case 'variables': {
                const { vcpu, depth, scope } = container;
                const found = (await target.variables?.list(vcpu, depth, scope)) ?? [];
                return found.slice(start, end).map(view => this.present(view, container));
            }
            case 'value': {
                const { vcpu, depth, expression } = container;
                const found = (await target.variables?.children(vcpu, depth, expression, start, count)) ?? [];
                // Arrays page by themselves; members are few.
                return (container.indexed ? found : found.slice(start, end)).map(view => this.present(view, container));
            }
            case 'frame': {
                const frame = await frameAt(target, container);
                return frame === undefined ? [] : presentFrame(frame).slice(start, end);
            }
            default: {
                const { vcpu } = container;
                const registers = (await this.listed(target, container)).slice(start, end);
                return registers.map(register =>
                    presentRegister(register, base, () =>
                        this.reference({ kind: 'parts', vcpu, register: register.name }),
                    ),
                );
            }
        }
    }

    /**
     * Gives a variable another value.
     * @param value taken modulo the variable's width
     */
    async assign(
        target: DebugTarget,
        reference: number,
        name: string,
        value: bigint,
        base: NumberBase,
    ): Promise<Assigned> {
        const container = this.container(reference);
        if (container.kind === 'frame') {
            throw new RequestError('registers of outer frames cannot be changed');
        }
        if (container.kind === 'stack') {
            return this.assignStackWord(target, container, name, value, base);
        }
        if (container.kind === 'variables' || container.kind === 'value') {
            throw new RequestError(`'${name}' is changed by its expression`);
        }
        const known = (await this.listed(target, container)).some(register => register.name === name);
        if (!known) {
            throw new RequestError(`there is no '${name}' here`);
        }
        const register = await target.writeRegister(container.vcpu, name, value);
        return { body: { value: registerText(register, base), type: `u${register.width}`, variablesReference: 0 } };
    }

    /** A value of the program's with a reference to its parts, if it has any. */
    present(view: VariableView, { vcpu, depth }: FramePlace): DebugProtocol.Variable {
        const { name, value, type, evaluateName, address, readOnly } = view;
        const indexed = view.indexed !== undefined;
        const unfolds = evaluateName !== undefined && (indexed || view.named !== undefined);
        return {
            name,
            value,
            type,
            evaluateName,
            variablesReference: unfolds
                ? this.reference({ kind: 'value', vcpu, depth, expression: evaluateName, indexed })
                : 0,
            indexedVariables: view.indexed,
            namedVariables: view.named,
            memoryReference: address && formatAddress(address),
            presentationHint: readOnly === true ? { attributes: ['readOnly'] } : undefined,
        };
    }

    /** The expression for a variable of the program's; undefined if the reference is about registers or the stack. */
    async expressionFor(
        target: DebugTarget,
        reference: number,
        name: string,
    ): Promise<{ readonly expression: string; readonly place: FramePlace } | undefined> {
        const container = this.container(reference);
        if (container.kind !== 'variables' && container.kind !== 'value') {
            return undefined;
        }
        const { vcpu, depth } = container;
        const views =
            container.kind === 'variables'
                ? await target.variables?.list(vcpu, depth, container.scope)
                : await this.partNamed(target, container, name);
        const expression = views?.find(view => view.name === name)?.evaluateName;
        if (expression === undefined) {
            throw new RequestError(`there is no '${name}' here that could be changed`);
        }
        return { expression, place: { vcpu, depth } };
    }

    private async partNamed(
        target: DebugTarget,
        { vcpu, depth, expression }: ValueContainer,
        name: string,
    ): Promise<readonly VariableView[] | undefined> {
        const index = /^\[(\d{1,9})\]$/.exec(name)?.[1];
        return target.variables?.children(vcpu, depth, expression, Number(index ?? 0), index === undefined ? 0 : 1);
    }

    /** The vCPU that a reference's variables belong to. */
    vcpuOf(reference: number): number {
        return this.container(reference).vcpu;
    }

    // ---- the stack -----------------------------------------------------------------------------------------------

    private async stackWords(
        target: DebugTarget,
        container: Container & { readonly kind: 'stack' },
        start: number,
        end: number,
        base: NumberBase,
    ): Promise<DebugProtocol.Variable[]> {
        const found: DebugProtocol.Variable[] = [];
        const { vcpu } = container;
        const { first, width } = await stackOf(target, container);
        for (let index = start; index < end; index++) {
            const offset = BigInt(index) * BigInt(width);
            const address = BigInt.asUintN(64, first + offset);
            const bytes = await target.readMemory(vcpu, { space: 'linear', offset: address }, width);
            if (bytes.length < width) break;
            const evaluateName = `u${8 * width}[linear:${hex(address)}]`;
            const { value } = await target.evaluate(vcpu, evaluateName, false);
            const bits = BigInt.asUintN(8 * width, value.bits);
            const place = await target.evaluate(vcpu, hex(bits), false);
            found.push({
                name: `+${hex(offset)}`,
                value: place.symbol === undefined ? inBase(bits, base) : `${inBase(bits, base)} <${place.symbol}>`,
                type: `u${8 * width}`,
                evaluateName,
                variablesReference: 0,
                memoryReference: hex(address),
            });
        }
        return found;
    }

    private async assignStackWord(
        target: DebugTarget,
        container: Container & { readonly kind: 'stack' },
        name: string,
        value: bigint,
        base: NumberBase,
    ): Promise<Assigned> {
        const { first, width } = await stackOf(target, container);
        const offset = /^\+0x([0-9a-f]{1,4})$/.exec(name)?.[1];
        if (offset === undefined || parseInt(offset, 16) >= STACK_WORDS * width) {
            throw new RequestError(`there is no '${name}' here`);
        }
        const address = BigInt.asUintN(64, first + BigInt(`0x${offset}`));
        const bits = BigInt.asUintN(8 * width, value);
        const bytes = Uint8Array.from({ length: width }, (_, at) => Number((bits >> BigInt(8 * at)) & 0xffn));
        const written = await target.writeMemory(container.vcpu, { space: 'linear', offset: address }, bytes);
        if (written < width) {
            throw new RequestError(`there is no memory to write to at ${hex(address)}`);
        }
        const memoryReference = hex(address);
        return {
            body: { value: inBase(bits, base), type: `u${8 * width}`, variablesReference: 0, memoryReference },
            memory: { memoryReference, count: width },
        };
    }

    // ---- registers -----------------------------------------------------------------------------------------------

    private async listed(
        target: DebugTarget,
        container: Extract<Container, { kind: 'group' | 'parts' }>,
    ): Promise<readonly RegisterView[]> {
        const groups = await this.groups(target, container.vcpu);
        if (container.kind === 'group') {
            return groups.find(({ name }) => name === container.name)?.registers ?? [];
        }
        const all = groups.flatMap(({ registers }) => registers);
        return all.find(({ name }) => name === container.register)?.parts ?? [];
    }

    private groups(target: DebugTarget, vcpu: number): Promise<RegisterGroupView[]> {
        if (target.state === 'running') {
            return target.registers(vcpu);
        }
        let groups = this.registers.get(vcpu);
        if (groups === undefined) {
            groups = target.registers(vcpu);
            this.registers.set(vcpu, groups);
        }
        return groups;
    }

    private reference(container: Container): number {
        const key = JSON.stringify(container);
        let reference = this.references.get(key);
        if (reference === undefined) {
            reference = this.containers.push(container);
            this.references.set(key, reference);
        }
        return reference;
    }

    private container(reference: number): Container {
        const container = this.containers[reference - 1] as Container | undefined;
        if (container === undefined) {
            throw new RequestError(`variablesReference ${reference} was never given out`);
        }
        return container;
    }
}

interface FramePlace {
    readonly vcpu: number;
    readonly depth: number;
}

async function frameAt(target: DebugTarget, { vcpu, depth }: FramePlace): Promise<NamedFrame | undefined> {
    return (await target.stack(vcpu)).at(depth);
}

function presentFrame({ pc, stackPointer, origin, inlined }: NamedFrame): DebugProtocol.Variable[] {
    const variables: DebugProtocol.Variable[] = [
        { name: 'pc', value: hex(pc), variablesReference: 0, memoryReference: hex(pc) },
        { name: 'sp', value: hex(stackPointer), variablesReference: 0 },
    ];
    if (origin !== undefined) {
        const value = inlined === true ? 'it is inlined into its caller' : ORIGINS[origin];
        variables.push({ name: 'found by', value, variablesReference: 0 });
    }
    return variables;
}

const ORIGINS: Readonly<Record<FrameOrigin, string>> = {
    cfi: 'call frame information',
    orc: "the kernel's ORC tables",
    framePointer: 'the frame pointer',
    return: 'a return that its callee goes straight on to',
    interrupt: 'what the processor pushed when it interrupted this code',
};

/** Linear address of a frame's first word on the stack, and bytes of a word. */
async function stackOf(target: DebugTarget, place: FramePlace): Promise<{ first: bigint; width: number }> {
    const frame = await frameAt(target, place);
    if (frame === undefined) {
        throw new RequestError('this frame is no longer there');
    }
    const { codeSize } = await target.codeRegion(place.vcpu, frame.pc);
    const { value } = await target.evaluate(place.vcpu, `ss:${hex(frame.stackPointer)}`, false);
    return { first: BigInt.asUintN(64, value.bits), width: codeSize / 8 };
}

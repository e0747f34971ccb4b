/** Scopes and variables: a vCPU's registers, and what is known of an outer frame. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { RegisterGroupView, RegisterView } from '../debug/registers/register-file';
import type { DebugTarget } from '../debug/target';
import { hex, presentRegister } from './presentation';
import { RequestError } from './request-error';

/** What a reference to variables stands for. */
type Container =
    | { readonly kind: 'group'; readonly vcpu: number; readonly name: string }
    | { readonly kind: 'parts'; readonly vcpu: number; readonly register: string }
    | { readonly kind: 'frame'; readonly vcpu: number; readonly depth: number };

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
        if (depth > 0) {
            const variablesReference = this.reference({ kind: 'frame', vcpu, depth });
            return [{ name: 'Frame', variablesReference, expensive: false, namedVariables: 2 }];
        }
        const groups = await this.groups(target, vcpu);
        return groups.map(({ name, registers }) => ({
            name,
            presentationHint: 'registers',
            variablesReference: this.reference({ kind: 'group', vcpu, name }),
            namedVariables: registers.length,
            expensive: false,
        }));
    }

    async variables(target: DebugTarget, reference: number): Promise<DebugProtocol.Variable[]> {
        const container = this.container(reference);
        const { vcpu } = container;
        if (container.kind === 'frame') {
            const frame = (await target.stack(vcpu)).at(container.depth);
            return frame === undefined
                ? []
                : [
                      { name: 'pc', value: hex(frame.pc), variablesReference: 0, memoryReference: hex(frame.pc) },
                      { name: 'sp', value: hex(frame.stackPointer), variablesReference: 0 },
                  ];
        }
        return (await this.listed(target, container)).map(register =>
            presentRegister(register, () => this.reference({ kind: 'parts', vcpu, register: register.name })),
        );
    }

    /** The vCPU and the name of a register that a variable stands for. */
    async register(target: DebugTarget, reference: number, name: string): Promise<{ vcpu: number; name: string }> {
        const container = this.container(reference);
        if (container.kind === 'frame') {
            throw new RequestError('registers of outer frames cannot be changed');
        }
        const known = (await this.listed(target, container)).some(register => register.name === name);
        if (!known) {
            throw new RequestError(`there is no '${name}' here`);
        }
        return { vcpu: container.vcpu, name };
    }

    private async listed(
        target: DebugTarget,
        container: Exclude<Container, { kind: 'frame' }>,
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

/** gdb's threads: a vCPU each, numbered from 1 since 0 means any. */
import type { DebugTarget } from '../debug/target';
import { Failure, OK } from './answers';
import { slice } from './slice';
import { hexOfText, parseCount } from './text';

export function threadName(vcpu: number): string {
    return (vcpu + 1).toString(16).padStart(2, '0');
}

export class Threads {
    /** The vCPU that `g`, `m` and their like mean. */
    selected = 0;
    /** The vCPU that `s` steps; undefined: the one that is {@link selected}. */
    stepped: number | undefined;

    constructor(private readonly target: DebugTarget) {}

    names(): string[] {
        return Array.from({ length: this.target.vcpus }, (_, vcpu) => threadName(vcpu));
    }

    /** The vCPU of a thread id; any, and all, is the one that gdb looks at. */
    parse(text: string): number | undefined {
        const thread = text === '-1' ? 0 : parseCount(text, this.target.vcpus);
        return thread === 0 ? this.selected : thread === undefined ? undefined : thread - 1;
    }

    select(text: string): string {
        const vcpu = this.parse(text.slice(1));
        if (vcpu === undefined || !/^[gc]/.test(text)) {
            return Failure.NoSuchProcess;
        }
        if (text.startsWith('g')) this.selected = vcpu;
        else this.stepped = /^c(?:-1|0+)$/.test(text) ? undefined : vcpu;
        return OK;
    }

    async information(text: string): Promise<string> {
        const vcpu = this.parse(text);
        return vcpu === undefined ? Failure.NoSuchProcess : hexOfText(await this.describe(vcpu));
    }

    private async describe(vcpu: number): Promise<string> {
        return `vCPU ${vcpu} [${(await this.target.isHalted(vcpu)) ? 'halted' : 'running'}]`;
    }

    /** Part of the list as XML (gdb manual, E.15). */
    async list(range: string): Promise<string> {
        const threads: string[] = [];
        for (let vcpu = 0; vcpu < this.target.vcpus; vcpu++) {
            const text = await this.describe(vcpu);
            threads.push(`<thread id="${threadName(vcpu)}" core="${vcpu}" name="vCPU ${vcpu}">${text}</thread>`);
        }
        return slice(`<?xml version="1.0"?><threads>${threads.join('')}</threads>`, range);
    }
}

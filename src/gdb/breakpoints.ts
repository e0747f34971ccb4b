/**
 * What a gdb has asked to stop at. It takes all of it back at every stop and gives it again when it goes on: only what
 * has changed by then is told to the target.
 */
import type { BreakpointRequest } from '../debug/breakpoints';
import type { DebugTarget } from '../debug/target';
import type { WatchKind, WatchpointRequest } from '../debug/watchpoints';
import { PointKind } from './point-kind';

export interface Point {
    readonly kind: PointKind;
    readonly address: bigint;
    /** Bytes watched. */
    readonly length: number;
    readonly condition: string | undefined;
    readonly physical: boolean;
}

const WATCH_KINDS: Readonly<Record<number, WatchKind>> = {
    [PointKind.Write]: 'write',
    [PointKind.Read]: 'read',
    [PointKind.Access]: 'readWrite',
};
const MOST_POINTS = 10_000;

export class Points {
    private readonly wanted = new Map<string, Point>();
    private readonly ids = new Map<string, number>();
    private applied = '';
    private nextId = 1;

    constructor(private readonly target: DebugTarget) {}

    get canWatch(): boolean {
        return this.target.setWatchpoints !== undefined;
    }

    /** @returns false if there are too many */
    insert(point: Point): boolean {
        const key = keyOf(point);
        if (!this.wanted.has(key) && this.wanted.size >= MOST_POINTS) {
            return false;
        }
        this.wanted.set(key, point);
        return true;
    }

    remove(point: Point): void {
        this.wanted.delete(keyOf(point));
    }

    clear(): void {
        this.wanted.clear();
    }

    /** The point behind an id that the target has reported. */
    byId(id: number): Point | undefined {
        for (const [key, known] of this.ids) {
            if (known === id) return this.wanted.get(key);
        }
        return undefined;
    }

    /**
     * Hands over what has changed. To be called before the guest goes on.
     * @returns what the target says against it, a line each
     */
    async apply(): Promise<string[]> {
        const state = [...this.wanted].map(([key, { condition }]) => `${key} ${condition ?? ''}`).sort();
        const text = state.join('\n');
        if (text === this.applied) {
            return [];
        }
        this.applied = text;
        const code: BreakpointRequest[] = [];
        const data: WatchpointRequest[] = [];
        for (const [key, { kind, address, length, condition, physical }] of this.wanted) {
            const id = this.idOf(key);
            const space = physical ? 'physical' : 'linear';
            if (kind === PointKind.Software || kind === PointKind.Hardware) {
                code.push({ id, space, address, condition, beforeFault: true });
            } else {
                data.push({ id, space, address, length, kind: WATCH_KINDS[kind], condition });
            }
        }
        const statuses = [
            ...(await this.target.setBreakpoints(code)),
            ...((await this.target.setWatchpoints?.(data)) ?? []),
        ];
        return statuses.flatMap(({ id, problem }) => {
            const point = this.byId(id);
            return problem === undefined || point === undefined
                ? []
                : [`the stop at 0x${point.address.toString(16)} does not work: ${problem}`];
        });
    }

    /** One point keeps its id, so that what the target counts of it goes on. */
    private idOf(key: string): number {
        let id = this.ids.get(key);
        if (id === undefined) {
            id = this.nextId++;
            this.ids.set(key, id);
        }
        return id;
    }
}

function keyOf({ kind, address, length, physical }: Point): string {
    return `${kind}:${physical ? 'p' : ''}${address.toString(16)}:${length}`;
}

/** Exits over guest time, as stacked bars; a range is chosen by dragging, or with the keyboard. */
import type { VmExitKind, VmExitTimeline } from '../../messages/vm-exits';
import { element } from '../dom';

/** Pixels. */
const HEIGHT = 56;
/** A drag of less is a click. */
const SMALLEST_DRAG = 4;

/** Theme colours of kinds that belong together. */
const COLOURS: ReadonlyArray<readonly [token: string, name: string, kinds: readonly VmExitKind[]]> = [
    ['--vscode-charts-blue', 'port I/O', ['portIn', 'portOut']],
    ['--vscode-charts-green', 'MMIO', ['mmioRead', 'mmioWrite']],
    ['--vscode-charts-purple', 'MSR and control registers', ['msrRead', 'msrWrite', 'crWrite', 'modeSwitch', 'cpuid']],
    ['--vscode-charts-red', 'exceptions', ['exception', 'tripleFault', 'failEntry', 'internalError', 'reset']],
    [
        '--vscode-gitDecoration-modifiedResourceForeground',
        'interrupts',
        ['externalInterrupt', 'softwareInterrupt', 'nmi', 'ipi'],
    ],
    ['--vscode-charts-yellow', 'HLT', ['hlt', 'mwait', 'powerOff']],
];
const OTHER = '--vscode-descriptionForeground';

export interface Range {
    /** Guest time, ns. */
    readonly from: number;
    readonly to: number;
}

export class Timeline {
    private readonly canvas = element('canvas', { 'aria-hidden': 'true' });
    private readonly legend = element('div', { class: 'legend' });
    readonly element = element(
        'div',
        {
            class: 'timeline',
            tabindex: 0,
            role: 'slider',
            'aria-label': 'Timeline of VM exits; plus and minus zoom, arrows move, Escape shows everything',
            title: 'Drag to zoom, double-click to see everything',
        },
        this.canvas,
        this.legend,
    );
    private data: VmExitTimeline | undefined;
    /** {@link data}, as text. */
    private shown: string | undefined;
    private dragFrom: number | undefined;
    private dragTo = 0;

    /** @param chosen the range to show; undefined: all of it */
    constructor(private readonly chosen: (range: Range | undefined) => void) {
        const { canvas } = this;
        canvas.addEventListener('pointerdown', event => {
            canvas.setPointerCapture(event.pointerId);
            this.dragFrom = this.dragTo = event.offsetX;
        });
        canvas.addEventListener('pointermove', event => {
            if (this.dragFrom === undefined) return;
            this.dragTo = event.offsetX;
            this.paint();
        });
        canvas.addEventListener('pointerup', () => this.endDrag());
        canvas.addEventListener('dblclick', () => this.chosen(undefined));
        this.element.addEventListener('keydown', event => this.key(event));
        new ResizeObserver(() => this.paint()).observe(this.element);
        // A theme that has changed is told by the style of the document.
        const themes = new MutationObserver(() => this.paint());
        themes.observe(document.documentElement, { attributes: true });
        themes.observe(document.body, { attributes: true, attributeFilter: ['class'] });
    }

    show(data: VmExitTimeline | undefined): void {
        const shown = JSON.stringify(data);
        if (shown === this.shown) return;
        this.shown = shown;
        this.data = data;
        this.paint();
        const present = new Set(Object.keys(data?.counts ?? {}));
        this.legend.replaceChildren(
            ...COLOURS.filter(([, , kinds]) => kinds.some(kind => present.has(kind))).map(([token, name]) => {
                const swatch = element('i', {});
                swatch.style.background = `var(${token})`;
                return element('span', {}, swatch, name);
            }),
            element(
                'span',
                { class: 'span' },
                data === undefined ? '' : `${milliseconds(data.from)} – ${milliseconds(data.to)} guest time`,
            ),
        );
        for (const [name, value] of [
            ['aria-valuemin', 0],
            ['aria-valuenow', data?.from ?? 0],
            ['aria-valuemax', data?.to ?? 0],
        ] as const) {
            this.element.setAttribute(name, String(value));
        }
        this.element.setAttribute(
            'aria-valuetext',
            data === undefined ? 'nothing yet' : `${milliseconds(data.from)} to ${milliseconds(data.to)}`,
        );
    }

    private endDrag(): void {
        const { dragFrom, dragTo, data } = this;
        this.dragFrom = undefined;
        if (dragFrom === undefined || data === undefined || Math.abs(dragTo - dragFrom) < SMALLEST_DRAG) return;
        const at = (x: number): number =>
            data.from + ((data.to - data.from) * x) / Math.max(1, this.canvas.clientWidth);
        const [from, to] = [at(Math.min(dragFrom, dragTo)), at(Math.max(dragFrom, dragTo))];
        this.chosen({ from: Math.max(data.from, from), to: Math.min(data.to, to) });
    }

    private key(event: KeyboardEvent): void {
        const { data } = this;
        if (data === undefined) return;
        const span = data.to - data.from;
        const moves: Readonly<Record<string, Range | undefined>> = {
            '+': { from: data.from + span / 4, to: data.to - span / 4 },
            '=': { from: data.from + span / 4, to: data.to - span / 4 },
            '-': { from: Math.max(0, data.from - span / 2), to: data.to + span / 2 },
            ArrowLeft: { from: Math.max(0, data.from - span / 4), to: Math.max(span, data.to - span / 4) },
            ArrowRight: { from: data.from + span / 4, to: data.to + span / 4 },
            Escape: undefined,
        };
        if (!(event.key in moves)) return;
        event.preventDefault();
        this.chosen(moves[event.key]);
    }

    private paint(): void {
        const { canvas, data } = this;
        const width = this.element.clientWidth;
        const scale = window.devicePixelRatio || 1;
        canvas.width = width * scale;
        canvas.height = HEIGHT * scale;
        const context = canvas.getContext('2d');
        if (context === null) return;
        context.scale(scale, scale);
        context.clearRect(0, 0, width, HEIGHT);
        if (data !== undefined) this.paintBars(context, data, width);
        if (this.dragFrom !== undefined) {
            context.globalAlpha = 0.3;
            context.fillStyle = colour('--vscode-focusBorder');
            context.fillRect(Math.min(this.dragFrom, this.dragTo), 0, Math.abs(this.dragTo - this.dragFrom), HEIGHT);
            context.globalAlpha = 1;
        }
    }

    private paintBars(context: CanvasRenderingContext2D, { counts }: VmExitTimeline, width: number): void {
        const buckets = Math.max(0, ...Object.values(counts).map(list => list.length));
        const groups = new Map<string, number[]>();
        for (const [kind, list] of Object.entries(counts)) {
            const token = COLOURS.find(([, , kinds]) => kinds.includes(kind as VmExitKind))?.[0] ?? OTHER;
            const sum = groups.get(token) ?? new Array<number>(buckets).fill(0);
            list.forEach((count, index) => (sum[index] += count));
            groups.set(token, sum);
        }
        // Counts differ by orders of magnitude: the square root keeps the small ones visible.
        const totals = Array.from({ length: buckets }, (_, index) =>
            [...groups.values()].reduce((sum, list) => sum + list[index], 0),
        );
        const colours = new Map([...groups.keys()].map(token => [token, colour(token)]));
        const most = Math.sqrt(Math.max(1, ...totals));
        const barWidth = width / Math.max(1, buckets);
        for (let index = 0; index < buckets; index++) {
            const total = totals[index];
            if (total === 0) continue;
            const height = Math.max(2, (Math.sqrt(total) / most) * (HEIGHT - 2));
            let y = HEIGHT;
            for (const [token, list] of groups) {
                const part = (list[index] / total) * height;
                if (part === 0) continue;
                context.fillStyle = colours.get(token)!;
                context.fillRect(index * barWidth, y - part, Math.max(1, barWidth - (barWidth > 4 ? 1 : 0)), part);
                y -= part;
            }
        }
    }
}

function colour(token: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(token).trim() || 'GrayText';
}

export function milliseconds(nanoseconds: number): string {
    return nanoseconds >= 1e9 ? `${(nanoseconds / 1e9).toFixed(3)} s` : `${(nanoseconds / 1e6).toFixed(3)} ms`;
}

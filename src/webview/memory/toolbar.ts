/** The controls above memory, and what of them outlives the window. */
import type { MemorySpace } from '../../messages/common';
import { button, element, select } from '../dom';
import type { Width } from './format';

const REGISTERS = [
    ...['rip', 'rsp', 'rbp', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi'],
    ...[8, 9, 10, 11, 12, 13, 14, 15].map(n => `r${n}`),
];
const SEGMENTS = ['ds', 'ss', 'cs', 'es', 'fs', 'gs'];

export interface Settings {
    space: MemorySpace;
    segment: string;
    /** The expression that was gone to last. */
    expression: string;
    /** Register whose value is kept in view, or nothing. */
    follow: string;
    width: Width;
    littleEndian: boolean;
    /** Show bytes as text, too. */
    text: boolean;
    address: string;
    pattern: string;
}

export const DEFAULTS: Settings = {
    space: 'linear',
    segment: 'ds',
    expression: 'rsp',
    follow: 'rsp',
    width: 8,
    littleEndian: true,
    text: true,
    address: '0x0',
    pattern: '',
};

export interface ToolbarActions {
    goTo(expression: string): void;
    /** Numbers are about to be shown otherwise: what was typed over one has to be written. */
    commit(): void;
    /** Settings have changed. */
    changed(): void;
    search(pattern: string): void;
    closeResults(): void;
    showMappings(): void;
}

export class Toolbar {
    readonly element: HTMLElement;
    private readonly space: HTMLSelectElement;
    private readonly segment: HTMLSelectElement;
    private readonly address: HTMLInputElement;
    private readonly follow: HTMLSelectElement;

    constructor(
        private readonly settings: Settings,
        actions: ToolbarActions,
    ) {
        this.space = select<MemorySpace>(
            'Address space',
            [
                ['linear', 'linear'],
                ['virtual', 'virtual'],
                ['physical', 'physical'],
            ],
            settings.space,
            space => {
                this.setSpace(space);
                actions.goTo(settings.expression);
            },
        );
        this.segment = select(
            'Segment',
            SEGMENTS.map(name => [name, `${name}:`] as const),
            settings.segment,
            segment => {
                settings.segment = segment;
                actions.goTo(settings.expression);
            },
        );
        this.segment.hidden = settings.space !== 'virtual';
        this.address = element('input', {
            type: 'text',
            class: 'address',
            value: settings.expression,
            'aria-label': 'Address or expression',
            title: 'Address or expression: rsp + 8, start_kernel, 0x1000',
            spellcheck: 'false',
            onkeydown: (event: KeyboardEvent) => {
                if (event.key !== 'Enter') return;
                this.setFollow('');
                actions.goTo(this.address.value);
            },
        });
        this.follow = select(
            'Follow a register',
            [['', 'follow none'] as const, ...REGISTERS.map(name => [name, `follow ${name}`] as const)],
            settings.follow,
            register => {
                settings.follow = register;
                actions.changed();
                if (register !== '') actions.goTo(register);
            },
        );
        this.element = element(
            'div',
            { class: 'toolbar', role: 'group', 'aria-label': 'What to show of memory' },
            this.space,
            this.segment,
            this.address,
            this.follow,
            ...numberControls(settings, actions),
            searchInput(settings, actions),
            button('Who maps this?', 'List what maps the page at the cursor', () => actions.showMappings()),
        );
    }

    setSpace(space: MemorySpace): void {
        this.settings.space = space;
        this.space.value = space;
        this.segment.hidden = space !== 'virtual';
    }

    setFollow(register: string): void {
        this.settings.follow = register;
        this.follow.value = register;
    }

    /** Shows what was gone to, unless somebody types there. */
    showExpression(expression: string): void {
        if (document.activeElement !== this.address) this.address.value = expression;
    }

    /** Marks the expression as one that says nothing, or takes the mark away. */
    markWrong(wrong: boolean): void {
        this.address.classList.toggle('wrong', wrong);
        const invalid = String(wrong);
        if (this.address.ariaInvalid !== invalid) this.address.ariaInvalid = invalid;
    }
}

/** How bytes become numbers. */
function numberControls(settings: Settings, { commit, changed }: ToolbarActions): HTMLElement[] {
    const width = select(
        'Bytes in a number',
        [
            ['1', '1 byte'],
            ['2', '2 bytes'],
            ['4', '4 bytes'],
            ['8', '8 bytes'],
        ],
        String(settings.width) as '1' | '2' | '4' | '8',
        chosen => {
            commit();
            settings.width = Number(chosen) as Width;
            changed();
        },
    );
    const endian = select(
        'Byte order: little-endian or big-endian',
        [
            ['little', 'LE'],
            ['big', 'BE'],
        ],
        settings.littleEndian ? 'little' : 'big',
        order => {
            commit();
            settings.littleEndian = order === 'little';
            changed();
        },
    );
    const text = element('input', {
        type: 'checkbox',
        id: 'text',
        checked: settings.text,
        onchange: () => {
            settings.text = text.checked;
            changed();
        },
    });
    return [width, endian, element('label', { class: 'check' }, text, 'text')];
}

function searchInput(settings: Settings, { search, closeResults, changed }: ToolbarActions): HTMLElement {
    const input = element('input', {
        type: 'search',
        class: 'search',
        value: settings.pattern,
        placeholder: 'search: text, 48 8b ?? c3, u64 = rsp',
        'aria-label': 'Search memory: text in quotes, bytes, or a number such as u64 = 0x1000',
        spellcheck: 'false',
        onkeydown: (event: KeyboardEvent) => {
            if (event.key === 'Escape') closeResults();
            if (event.key !== 'Enter') return;
            settings.pattern = input.value.trim();
            changed();
            if (settings.pattern === '') closeResults();
            else search(settings.pattern);
        },
    });
    return input;
}

/**
 * Elements, made by hand. Everything that a guest supplies becomes text by `textContent`: no markup is ever parsed.
 */

type Child = Node | string | undefined | false;

interface Attributes {
    readonly class?: string;
    readonly title?: string;
    readonly [attribute: string]: string | number | boolean | undefined | ((event: never) => void);
}

/** An element with attributes (`on…`: listeners; false and undefined are left out) and children. */
export function element<Name extends keyof HTMLElementTagNameMap>(
    name: Name,
    attributes: Attributes = {},
    ...children: Child[]
): HTMLElementTagNameMap[Name] {
    const made = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) {
        if (value === undefined || value === false) continue;
        if (typeof value === 'function') made.addEventListener(attribute.slice(2), value as EventListener);
        else made.setAttribute(attribute, value === true ? '' : String(value));
    }
    for (const child of children) {
        if (child !== undefined && child !== false) made.append(child);
    }
    return made;
}

/** A list to choose from; `label` is what screen readers call it. */
export function select<Value extends string>(
    label: string,
    options: ReadonlyArray<readonly [value: Value, text: string]>,
    value: Value,
    changed: (value: Value) => void,
): HTMLSelectElement {
    const made = element(
        'select',
        { 'aria-label': label, title: label, onchange: () => changed(made.value as Value) },
        ...options.map(([option, text]) => element('option', { value: option }, text)),
    );
    made.value = value;
    return made;
}

export function button(text: string, label: string, clicked: () => void): HTMLButtonElement {
    return element('button', { type: 'button', 'aria-label': label, title: label, onclick: clicked }, text);
}

/** What an empty view shows: a sentence, and the button that fills it. */
export function welcome(text: string, action: string, clicked: () => void): HTMLElement {
    return element(
        'section',
        { class: 'welcome' },
        element('p', {}, text),
        element('button', { type: 'button', class: 'primary', onclick: clicked }, action),
    );
}

/** Calls `run` once, soon, however often it was asked for: in the next frame. */
export function onceAFrame(run: () => void): () => void {
    let asked = false;
    return () => {
        if (asked) return;
        asked = true;
        requestAnimationFrame(() => {
            asked = false;
            run();
        });
    };
}

/** Calls `run` once, after what is happening now, however often it was asked for: without waiting for a frame. */
export function onceSoon(run: () => void): () => void {
    let asked = false;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
        asked = false;
        run();
    };
    return () => {
        if (asked) return;
        asked = true;
        port2.postMessage(undefined);
    };
}

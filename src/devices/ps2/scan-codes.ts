/**
 * Keyboard scan codes of sets 1 and 2 and the controller's translation between them.
 *
 * IBM PS/2 Hardware Interface Technical Reference, "101- and 102-Key Keyboards", scan code tables; keys that IBM did not
 * have as in Microsoft's "Keyboard Scan Code Specification" (revision 1.3a). Set 1 is what the translation makes of set
 * 2, so that only set 2 is listed.
 */

/** Keys with the prefix 0xE0 have it in bits 8–15. */
const extended = 0xe000;

/** Set 2 make code of each key, under its name in the W3C's "UI Events KeyboardEvent code Values". */
const set2: { readonly [key: string]: number } = {
    Escape: 0x76,
    F1: 0x05,
    F2: 0x06,
    F3: 0x04,
    F4: 0x0c,
    F5: 0x03,
    F6: 0x0b,
    F7: 0x83,
    F8: 0x0a,
    F9: 0x01,
    F10: 0x09,
    F11: 0x78,
    F12: 0x07,
    Backquote: 0x0e,
    Digit1: 0x16,
    Digit2: 0x1e,
    Digit3: 0x26,
    Digit4: 0x25,
    Digit5: 0x2e,
    Digit6: 0x36,
    Digit7: 0x3d,
    Digit8: 0x3e,
    Digit9: 0x46,
    Digit0: 0x45,
    Minus: 0x4e,
    Equal: 0x55,
    Backspace: 0x66,
    Tab: 0x0d,
    KeyQ: 0x15,
    KeyW: 0x1d,
    KeyE: 0x24,
    KeyR: 0x2d,
    KeyT: 0x2c,
    KeyY: 0x35,
    KeyU: 0x3c,
    KeyI: 0x43,
    KeyO: 0x44,
    KeyP: 0x4d,
    BracketLeft: 0x54,
    BracketRight: 0x5b,
    Backslash: 0x5d,
    CapsLock: 0x58,
    KeyA: 0x1c,
    KeyS: 0x1b,
    KeyD: 0x23,
    KeyF: 0x2b,
    KeyG: 0x34,
    KeyH: 0x33,
    KeyJ: 0x3b,
    KeyK: 0x42,
    KeyL: 0x4b,
    Semicolon: 0x4c,
    Quote: 0x52,
    Enter: 0x5a,
    ShiftLeft: 0x12,
    IntlBackslash: 0x61,
    KeyZ: 0x1a,
    KeyX: 0x22,
    KeyC: 0x21,
    KeyV: 0x2a,
    KeyB: 0x32,
    KeyN: 0x31,
    KeyM: 0x3a,
    Comma: 0x41,
    Period: 0x49,
    Slash: 0x4a,
    ShiftRight: 0x59,
    ControlLeft: 0x14,
    AltLeft: 0x11,
    Space: 0x29,
    AltRight: extended | 0x11,
    ControlRight: extended | 0x14,
    MetaLeft: extended | 0x1f,
    MetaRight: extended | 0x27,
    ContextMenu: extended | 0x2f,
    ScrollLock: 0x7e,
    NumLock: 0x77,
    Numpad0: 0x70,
    Numpad1: 0x69,
    Numpad2: 0x72,
    Numpad3: 0x7a,
    Numpad4: 0x6b,
    Numpad5: 0x73,
    Numpad6: 0x74,
    Numpad7: 0x6c,
    Numpad8: 0x75,
    Numpad9: 0x7d,
    NumpadDecimal: 0x71,
    NumpadAdd: 0x79,
    NumpadSubtract: 0x7b,
    NumpadMultiply: 0x7c,
    NumpadDivide: extended | 0x4a,
    NumpadEnter: extended | 0x5a,
    Insert: extended | 0x70,
    Delete: extended | 0x71,
    Home: extended | 0x6c,
    End: extended | 0x69,
    PageUp: extended | 0x7d,
    PageDown: extended | 0x7a,
    ArrowUp: extended | 0x75,
    ArrowLeft: extended | 0x6b,
    ArrowDown: extended | 0x72,
    ArrowRight: extended | 0x74,
    IntlRo: 0x51,
    IntlYen: 0x6a,
    KanaMode: 0x13,
    Convert: 0x64,
    NonConvert: 0x67,
    Power: extended | 0x37,
    Sleep: extended | 0x3f,
    WakeUp: extended | 0x5e,
    MediaTrackNext: extended | 0x4d,
    MediaTrackPrevious: extended | 0x15,
    MediaStop: extended | 0x3b,
    MediaPlayPause: extended | 0x34,
    AudioVolumeMute: extended | 0x23,
    AudioVolumeDown: extended | 0x21,
    AudioVolumeUp: extended | 0x32,
    BrowserHome: extended | 0x3a,
    BrowserBack: extended | 0x38,
    BrowserForward: extended | 0x30,
    BrowserRefresh: extended | 0x20,
    BrowserSearch: extended | 0x10,
};

/** What the controller makes of set 2 codes 0x00–0x7F. */
const translation = Uint8Array.of(
    ...[0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59],
    ...[0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b],
    ...[0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d],
    ...[0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f],
    ...[0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61],
    ...[0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76],
    ...[0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f],
    ...[0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54],
);

/** Set 2 to set 1 for one byte other than the break prefix 0xF0; bytes above the keys' codes pass unchanged. */
export function translate(code: number): number {
    if (code < 0x80) {
        return translation[code];
    }
    return code === 0x83 ? 0x41 : code === 0x84 ? 0x54 : code;
}

export type ScanCodeSet = 1 | 2;

/** Keys held that change what another key sends. */
export interface Modifiers {
    readonly alt: boolean;
    readonly control: boolean;
    readonly shift: boolean;
}

/** Names of all keys that the keyboard has. */
export const keyNames: readonly string[] = [...Object.keys(set2), 'PrintScreen', 'Pause'];

/** The bytes that a key sends when it goes down or up; empty where it sends none, undefined for an unknown key. */
export function scanCode(
    key: string,
    pressed: boolean,
    set: ScanCodeSet,
    modifiers: Modifiers,
): readonly number[] | undefined {
    if (key === 'PrintScreen') {
        return printScreen(pressed, set, modifiers);
    }
    if (key === 'Pause') {
        return pressed ? pause(set, modifiers) : [];
    }
    const code = Object.hasOwn(set2, key) ? set2[key] : undefined;
    return code === undefined ? undefined : encode(code, pressed, set);
}

function encode(code: number, pressed: boolean, set: ScanCodeSet): number[] {
    const prefix = code >= extended ? [0xe0] : [];
    const key = code & 0xff;
    if (set === 1) {
        return [...prefix, translate(key) | (pressed ? 0 : 0x80)];
    }
    return pressed ? [...prefix, key] : [...prefix, 0xf0, key];
}

/** A shifted multiply key's descendant: it brings its own shift along, and with Alt it is the system request key. */
function printScreen(pressed: boolean, set: ScanCodeSet, modifiers: Modifiers): number[] {
    if (modifiers.alt) {
        return encode(0x84, pressed, set);
    }
    const key = encode(extended | 0x7c, pressed, set);
    if (modifiers.control || modifiers.shift) {
        return key;
    }
    const shift = encode(extended | 0x12, pressed, set);
    return pressed ? [...shift, ...key] : [...key, ...shift];
}

/** Sends make and break at once; with Control it is the break key. */
function pause(set: ScanCodeSet, modifiers: Modifiers): number[] {
    if (modifiers.control) {
        return [...encode(extended | 0x7e, true, set), ...encode(extended | 0x7e, false, set)];
    }
    const both = (pressed: boolean) => [0xe1, ...encode(0x14, pressed, set), ...encode(0x77, pressed, set)];
    return [...both(true), ...both(false)];
}

/** Objects that gdb reads in parts (`qXfer`, gdb manual, E.4). */
import { Failure } from './answers';
import { PACKET_SIZE } from './packet';
import { parseRange } from './text';

/** Part of a text as qXfer asks for it: `offset,length`. */
export function slice(text: string, range: string): string {
    const asked = parseRange(range);
    if (asked === undefined) {
        return Failure.Invalid;
    }
    const [offset, length] = [Number(asked.offset), Number(asked.length)];
    const part = text.slice(offset, offset + Math.min(length, PACKET_SIZE / 2));
    return `${offset + part.length < text.length ? 'm' : 'l'}${part}`;
}

/** The base protocol's framing (DAP, "Base Protocol"), for streams that nobody vouches for. */
import { Transform, type TransformCallback } from 'node:stream';

/** No client sends more in one message; whoever claims to would have us wait, and fill the memory, for ever. */
const LONGEST_MESSAGE = 64 * 2 ** 20;
const LONGEST_HEADER = 4096;

const HEADER_END = Buffer.from('\r\n\r\n');
/** A message that ends early is followed by the next one's header, which cannot be part of JSON. */
const NEXT_HEADER = /Content-Length: *\d+ *\r\n\r\n/;

/**
 * Lets whole messages with sound headers through. The rest is reported and dropped up to the next header, so that one
 * bad message costs nothing but itself.
 */
export class MessageFrames extends Transform {
    private pieces: Buffer[] = [];
    private length = 0;
    /** Bytes needed before it is worth to look at the pieces. */
    private wanted = 0;

    constructor(private readonly report: (problem: string) => void) {
        super();
    }

    override _transform(piece: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
        this.pieces.push(piece);
        this.length += piece.length;
        // A message that never completes may have been cut off: then a piece holds the header of the next one.
        if (this.length >= this.wanted || NEXT_HEADER.test(piece.toString('latin1'))) {
            this.takeMessages();
        }
        done();
    }

    private takeMessages(): void {
        let rest = this.pieces.length === 1 ? this.pieces[0] : Buffer.concat(this.pieces);
        for (;;) {
            const used = this.takeOne(rest);
            if (used === 0) break;
            rest = rest.subarray(used);
        }
        this.pieces = rest.length === 0 ? [] : [rest];
        this.length = rest.length;
    }

    /** Handles what the bytes begin with; returns how many are done with, 0 if more are needed. */
    private takeOne(bytes: Buffer): number {
        this.wanted = 0;
        const end = bytes.indexOf(HEADER_END);
        if (end < 0 || end > LONGEST_HEADER) {
            if (bytes.length <= LONGEST_HEADER) {
                return 0;
            }
            this.report(`no header in ${LONGEST_HEADER} bytes`);
            return this.skip(bytes, 1);
        }
        const header = bytes.toString('latin1', 0, end);
        const start = end + HEADER_END.length;
        const length = contentLength(header);
        if (length === undefined) {
            this.report(`header without a proper Content-Length: ${JSON.stringify(header.slice(0, 100))}`);
            return start;
        }
        if (length > LONGEST_MESSAGE) {
            this.report(`a message of ${length} bytes is longer than ${LONGEST_MESSAGE}`);
            return this.skip(bytes, start);
        }
        const next = bytes
            .subarray(start, start + length)
            .toString('latin1')
            .search(NEXT_HEADER);
        if (next >= 0) {
            this.report(`a message of ${length} bytes was cut off after ${next}`);
            return start + next;
        }
        if (bytes.length < start + length) {
            this.wanted = start + length;
            return 0;
        }
        this.push(`Content-Length: ${length}\r\n\r\n`);
        this.push(bytes.subarray(start, start + length));
        return start + length;
    }

    /** Up to the next header, or everything. */
    private skip(bytes: Buffer, from: number): number {
        const next = bytes.subarray(from).toString('latin1').search(NEXT_HEADER);
        return next < 0 ? bytes.length : from + next;
    }
}

function contentLength(header: string): number | undefined {
    // What precedes may be the rest of a message that was longer than it claimed.
    const match = /Content-Length: *(\d{1,15}) *$/.exec(
        header.split('\r\n').find(line => /Content-Length:/.test(line)) ?? '',
    );
    return match === null ? undefined : Number(match[1]);
}

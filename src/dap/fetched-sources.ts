/** Sources that are not on this machine: fetched by a command that the user has given (`sourceCommand`). */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { RequestError } from './request-error';

/** References of listings are counted from 1. */
const FIRST_REFERENCE = 0x40000000;
const MOST_SOURCES = 100_000;
/** What a command may take, and print. */
const TIMEOUT_MS = 30_000;
const LONGEST_SOURCE = 16 * 2 ** 20;

/** What the command's arguments may name; paths and build-ids come out of symbol files. */
interface Placeholders {
    readonly path: string;
    readonly buildId: string;
}

export class FetchedSources {
    private readonly references = new Map<string, number>();
    private readonly contents = new Map<string, Promise<string>>();

    /**
     * @param command the program and its arguments, as the user configured them; undefined if there is none
     * @param buildIdOf of the program that was compiled from a file
     */
    constructor(
        private readonly command: () => readonly string[] | undefined,
        private readonly buildIdOf: (file: string) => string | undefined,
    ) {}

    /** How the client can ask for a file; undefined where nobody can fetch it. Nothing is fetched yet. */
    source(file: string): DebugProtocol.Source | undefined {
        if (this.command() === undefined || !isPlain(file)) {
            return undefined;
        }
        let sourceReference = this.references.get(file);
        if (sourceReference === undefined) {
            if (this.references.size >= MOST_SOURCES) return undefined;
            sourceReference = FIRST_REFERENCE + this.references.size;
            this.references.set(file, sourceReference);
        }
        return { name: path.basename(file), path: file, sourceReference, origin: 'fetched by sourceCommand' };
    }

    /** The file that a reference stands for. */
    fileOf(reference: number): string | undefined {
        return reference < FIRST_REFERENCE ? undefined : [...this.references.keys()].at(reference - FIRST_REFERENCE);
    }

    /** @throws RequestError that tells what the command had to say */
    content(file: string): Promise<string> {
        let content = this.contents.get(file);
        if (content === undefined) {
            content = this.fetch(file);
            this.contents.set(file, content);
            // The user may put right what was wrong.
            content.catch(() => this.contents.delete(file));
        }
        return content;
    }

    private async fetch(file: string): Promise<string> {
        const [program, ...templates] = this.command() ?? [];
        if (program === undefined) {
            throw new RequestError(`${file}: is not here, and no sourceCommand says how to fetch it`);
        }
        const words = templates.map(template => fill(template, { path: file, buildId: this.buildIdOf(file) ?? '' }));
        const output = await run(program, words);
        // Some commands print the file, others where they have put it.
        const named = output.trim();
        if (!named.includes('\n') && path.isAbsolute(named) && existsSync(named)) {
            return readFileSync(named, 'utf8');
        }
        return output;
    }
}

/** Whether a path, which anybody may have written into a symbol file, can be an argument at all. */
function isPlain(file: string): boolean {
    return file !== '' && !/\p{Cc}/u.test(file);
}

/** A path never becomes an option. */
function fill(template: string, { path: file, buildId }: Placeholders): string {
    const safe = template.startsWith('{path}') && file.startsWith('-') ? `./${file}` : file;
    return template.replace(/\{(path|buildId)\}/g, (_, name: string) => (name === 'path' ? safe : buildId));
}

/** No shell sees the arguments. */
function run(program: string, words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
        const options = { timeout: TIMEOUT_MS, maxBuffer: LONGEST_SOURCE, encoding: 'utf8', shell: false } as const;
        execFile(program, words, options, (error, stdout, stderr) => {
            if (error === null) {
                resolve(stdout);
                return;
            }
            const said = stderr.trim().split('\n').at(-1);
            const reason = error.killed === true ? `took longer than ${TIMEOUT_MS / 1000} s` : said || error.message;
            reject(new RequestError(`sourceCommand: ${[program, ...words].join(' ')}: ${reason}`));
        });
    });
}

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { moduleReferences, nodeGlobals } from '../support/imports';
import { projectRoot } from '../support/project';

interface FolderRule {
    /** Folders of `src/` that this one may import, itself aside. */
    readonly imports: readonly string[];
    /** Also whatever those folders may import, all the way down. */
    readonly andBelow?: true;
    /** Where its code has to run. `browser` means: JavaScript and WebAssembly only, nothing of Node. */
    readonly runsIn: 'browser' | 'node';
    /** Packages that it may import. */
    readonly packages?: readonly string[];
}

/** The architecture that `src/README.md` describes. A folder stands below those that import it. */
const RULES: Readonly<Record<string, FolderRule>> = {
    common: { imports: [], runsIn: 'browser' },
    messages: { imports: ['common'], runsIn: 'browser' },

    isa: { imports: ['common'], runsIn: 'browser' },
    wasm: { imports: ['common'], runsIn: 'browser' },
    softfloat: { imports: ['common'], runsIn: 'browser' },
    devices: { imports: ['common'], runsIn: 'browser' },
    symbols: { imports: ['common'], runsIn: 'browser', packages: ['fflate', 'fzstd'] },

    machine: { imports: ['common', 'isa', 'devices'], runsIn: 'browser' },
    translator: { imports: ['common', 'isa', 'wasm', 'softfloat', 'machine'], runsIn: 'browser' },
    kvm: { imports: ['common', 'machine'], runsIn: 'node', packages: ['koffi'] },

    engines: { imports: ['common', 'isa', 'machine', 'translator', 'kvm'], runsIn: 'node' },
    debug: { imports: ['common', 'isa', 'machine', 'translator', 'symbols'], runsIn: 'browser' },
    inspect: { imports: ['debug', 'messages'], andBelow: true, runsIn: 'browser' },
    linux: { imports: ['inspect'], andBelow: true, runsIn: 'browser' },
    gdb: { imports: ['debug'], andBelow: true, runsIn: 'node' },
    dap: {
        imports: ['debug', 'inspect', 'linux', 'gdb', 'messages', 'engines'],
        andBelow: true,
        runsIn: 'node',
        packages: ['@vscode/debugadapter', '@vscode/debugprotocol'],
    },
    cli: { imports: ['dap'], andBelow: true, runsIn: 'node' },

    extension: { imports: ['common', 'messages'], runsIn: 'node', packages: ['vscode', '@vscode/debugprotocol'] },
    webview: { imports: ['common', 'messages'], runsIn: 'browser' },
};

const NODE_BUILTINS = new Set(builtinModules);

const sourceRoot = path.join(projectRoot, 'src');
const folders = readdirSync(sourceRoot, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name);

interface SourceFile {
    readonly folder: string;
    /** Path from the project's folder, as a report names it. */
    readonly name: string;
    readonly text: string;
}

const sourceFiles: SourceFile[] = readdirSync(sourceRoot, { recursive: true, encoding: 'utf8' })
    .filter(name => /\.[cm]?[jt]sx?$/.test(name))
    .map(name => ({
        folder: name.split(path.sep)[0],
        name: path.join('src', name),
        text: readFileSync(path.join(sourceRoot, name), 'utf8'),
    }));

function allowedImports(folder: string): Set<string> {
    const { imports, andBelow } = RULES[folder];
    const allowed = new Set(imports);
    if (andBelow) {
        for (const lower of imports) {
            for (const name of everythingBelow(lower)) allowed.add(name);
        }
    }
    return allowed;
}

function everythingBelow(folder: string): Set<string> {
    const found = new Set<string>();
    for (const lower of RULES[folder].imports) {
        found.add(lower);
        for (const name of everythingBelow(lower)) found.add(name);
    }
    return found;
}

/** The folder of `src/` that a relative import reaches; undefined where it leads out of `src/`. */
function importedFolder(importer: SourceFile, specifier: string): string | undefined {
    const target = path.relative('src', path.join(path.dirname(importer.name), specifier));
    return target.startsWith('..') ? undefined : target.split(path.sep)[0];
}

function packageName(specifier: string): string {
    return specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
}

/** Why `importer` may not import `specifier`; undefined if it may. */
function objection(importer: SourceFile, specifier: string): string | undefined {
    const { folder } = importer;
    const rule = RULES[folder];
    if (specifier.startsWith('.')) {
        const target = importedFolder(importer, specifier);
        if (target === undefined) return `'${specifier}' lies outside src/`;
        if (target === folder || allowedImports(folder).has(target)) return undefined;
        return `${folder}/ may not import ${target}/ (allowed: ${[...allowedImports(folder)].join(', ') || 'nothing'})`;
    }
    const name = packageName(specifier);
    if (specifier.startsWith('node:') || NODE_BUILTINS.has(name)) {
        return rule.runsIn === 'node' ? undefined : `${folder}/ runs in a browser: no '${specifier}' there`;
    }
    return rule.packages?.includes(name) ? undefined : `${folder}/ may not import the package '${name}'`;
}

/** The folders on a cycle of the graph, in order, first one repeated at the end; undefined if there is none. */
function findCycle(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
    const finished = new Set<string>();
    const visit = (node: string, trail: string[]): string[] | undefined => {
        if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node];
        if (finished.has(node)) return undefined;
        for (const next of graph.get(node) ?? []) {
            const cycle = visit(next, [...trail, node]);
            if (cycle) return cycle;
        }
        finished.add(node);
        return undefined;
    };
    for (const node of graph.keys()) {
        const cycle = visit(node, []);
        if (cycle) return cycle;
    }
    return undefined;
}

describe('imports', () => {
    const ruled = sourceFiles.filter(({ folder }) => folder in RULES);

    it('has a rule for every folder of src/, and no source outside of one', () => {
        const unruled = sourceFiles.filter(({ folder }) => !(folder in RULES)).map(({ name }) => name);
        assert.deepEqual(unruled, [], 'add the folder to RULES and to src/README.md, or move the file');
    });

    it('point downwards only', () => {
        const objections = ruled.flatMap(file =>
            moduleReferences(file.text, file.name).flatMap(({ specifier, line }) => {
                const reason = objection(file, specifier);
                return reason === undefined ? [] : [`${file.name}:${line}: ${reason}`];
            }),
        );
        assert.deepEqual(objections, []);
    });

    it('leave the globals of Node to the folders that run in Node', () => {
        const uses = ruled
            .filter(({ folder }) => RULES[folder].runsIn === 'browser')
            .flatMap(file =>
                nodeGlobals(file.text, file.name).map(({ specifier, line }) => `${file.name}:${line}: ${specifier}`),
            );
        assert.deepEqual(uses, []);
    });

    it('form no cycle between folders, neither as ruled nor as written', () => {
        assert.equal(
            findCycle(new Map(Object.keys(RULES).map(name => [name, new Set(RULES[name].imports)]))),
            undefined,
        );

        const written = new Map<string, Set<string>>();
        for (const file of ruled) {
            const targets = written.get(file.folder) ?? new Set();
            written.set(file.folder, targets);
            for (const { specifier } of moduleReferences(file.text, file.name)) {
                if (!specifier.startsWith('.')) continue;
                const target = importedFolder(file, specifier);
                if (target !== undefined && target !== file.folder) targets.add(target);
            }
        }
        assert.equal(findCycle(written), undefined);
    });

    it('are described in src/README.md, folder by folder', () => {
        const readme = path.join(sourceRoot, 'README.md');
        assert.ok(existsSync(readme), 'src/README.md is missing: it tells the architecture');
        const text = readFileSync(readme, 'utf8');
        const unnamed = folders.filter(name => !new RegExp(`(?<![\\w/])${name}/`).test(text));
        assert.deepEqual(unnamed, [], 'folders that src/README.md does not name');
    });
});

describe('import rules', () => {
    const file = (folder: string, text = ''): SourceFile => ({ folder, name: `src/${folder}/deep/file.ts`, text });

    it('see every form in which a source names a module', () => {
        const source = `
            import a from './a';
            import type { B } from './b';
            import './c';
            export * from './d';
            import e = require('./e');
            type F = import('./f').F;
            const g = await import('./g');
            const h = require('./h');
            const i = import(where);
            const notOne = 'import x from "./j"'; // import './k'
        `;
        assert.deepEqual(
            moduleReferences(source).map(({ specifier, line }) => [line, specifier]),
            [
                [2, './a'],
                [3, './b'],
                [4, './c'],
                [5, './d'],
                [6, './e'],
                [7, './f'],
                [8, './g'],
                [9, './h'],
                [10, '<computed: where>'],
            ],
        );
    });

    it('tell a global of Node from a name of the program', () => {
        const read = (source: string): string[] => nodeGlobals(source).map(({ specifier }) => specifier);
        assert.deepEqual(read('const home = process.env.HOME; Buffer.from([]); setImmediate(f);'), [
            'process',
            'Buffer',
            'setImmediate',
        ]);
        assert.deepEqual(read('const process = task(); process.run(); page.global = tlb.global; g({ global: 1 })'), []);
    });

    it('refuse upward imports, Node in the browser, foreign packages and vscode outside the extension', () => {
        assert.match(objection(file('machine'), '../../translator/ir/types') ?? '', /may not import translator/);
        assert.match(objection(file('isa'), 'node:fs') ?? '', /runs in a browser/);
        assert.match(objection(file('isa'), 'worker_threads') ?? '', /runs in a browser/);
        assert.match(objection(file('isa'), 'fs/promises') ?? '', /runs in a browser/);
        assert.match(objection(file('dap'), 'vscode') ?? '', /may not import the package/);
        assert.match(objection(file('isa'), '../../../test/support/project') ?? '', /outside src/);
        assert.match(objection(file('isa'), '<computed: where>') ?? '', /may not import/);
    });

    it('let a folder use itself, what its row names, and what lies below where the row says so', () => {
        assert.equal(objection(file('translator'), '../ir/types'), undefined);
        assert.equal(objection(file('translator'), '../../machine/state'), undefined);
        assert.equal(objection(file('cli'), '../../devices/serial'), undefined);
        assert.equal(objection(file('gdb'), 'node:net'), undefined);
        assert.equal(objection(file('kvm'), 'koffi'), undefined);
        assert.equal(objection(file('extension'), 'vscode'), undefined);
    });

    it('find a cycle', () => {
        const graph = { a: ['b'], b: ['c'], c: ['b'], d: [] };
        const edges = new Map(Object.entries(graph).map(([name, targets]) => [name, new Set(targets)]));
        assert.deepEqual(findCycle(edges), ['b', 'c', 'b']);
    });
});

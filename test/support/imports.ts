import ts from 'typescript';

/** One module named by a source file, in whatever form it is named. */
export interface ModuleReference {
    readonly specifier: string;
    /** 1-based line in the file. */
    readonly line: number;
}

/** Globals that Node has and a browser does not. */
const NODE_GLOBALS = new Set(['process', 'Buffer', 'global', '__dirname', '__filename', 'setImmediate', 'require']);

function lineOf(file: ts.SourceFile, node: ts.Node): number {
    return file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
}

/** `import()`, `require()` and `require.resolve()`. */
function loadsModule(call: ts.CallExpression): boolean {
    const callee = ts.isPropertyAccessExpression(call.expression) ? call.expression.expression : call.expression;
    return callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === 'require');
}

/** The node that names a module, if `node` is one of the forms that refer to one. */
function moduleNameIn(node: ts.Node): ts.Node | undefined {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
    if (ts.isExternalModuleReference(node)) return node.expression;
    if (ts.isImportTypeNode(node)) return ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument;
    if (ts.isCallExpression(node) && loadsModule(node)) return node.arguments[0];
    return undefined;
}

/**
 * Every module that a TypeScript source names: `import`, `export … from`, `import x = require()`, `import()`,
 * `require()` and `import('…')` types. A name that is computed is reported as written, so that no rule lets it pass.
 */
export function moduleReferences(source: string, fileName = 'source.ts'): ModuleReference[] {
    const file = ts.createSourceFile(fileName, source, ts.ScriptTarget.ES2022);
    const references: ModuleReference[] = [];
    const visit = (node: ts.Node): void => {
        const name = moduleNameIn(node);
        if (name !== undefined) {
            const specifier = ts.isStringLiteralLike(name) ? name.text : `<computed: ${name.getText(file)}>`;
            references.push({ specifier, line: lineOf(file, node) });
        }
        ts.forEachChild(node, visit);
    };
    visit(file);
    return references;
}

/** True where an identifier names a member or declares something rather than reading a variable. */
function isOnlyAName(identifier: ts.Identifier, parent: ts.Node): boolean {
    if (ts.isPropertyAccessExpression(parent)) return parent.name === identifier;
    if (ts.isQualifiedName(parent) || ts.isTypeReferenceNode(parent) || ts.isImportSpecifier(parent)) return true;
    return (parent as Partial<ts.NamedDeclaration>).name === identifier && !ts.isShorthandPropertyAssignment(parent);
}

/** Node's globals that a source reads without declaring a variable of that name itself. */
export function nodeGlobals(source: string, fileName = 'source.ts'): ModuleReference[] {
    const file = ts.createSourceFile(fileName, source, ts.ScriptTarget.ES2022);
    const declared = new Set<string>();
    const read: ModuleReference[] = [];
    const visit = (node: ts.Node, parent: ts.Node): void => {
        if (ts.isVariableDeclaration(node) || ts.isParameter(node) || ts.isFunctionDeclaration(node)) {
            if (node.name && ts.isIdentifier(node.name)) declared.add(node.name.text);
        }
        if (ts.isIdentifier(node) && NODE_GLOBALS.has(node.text) && !isOnlyAName(node, parent)) {
            read.push({ specifier: node.text, line: lineOf(file, node) });
        }
        ts.forEachChild(node, child => visit(child, node));
    };
    visit(file, file);
    return read.filter(({ specifier }) => !declared.has(specifier));
}

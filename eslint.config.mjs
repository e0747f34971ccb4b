import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// Syntactic rules only: type-aware linting would run the type checker a second time, and `tsc` is strict already.
export default tseslint.config(
    { ignores: ['node_modules/', 'out/', 'dist/', '.cache/', '.vscode-test/', 'coverage/', '**/*.generated.ts'] },
    js.configs.recommended,
    ...tseslint.configs.recommended,
    {
        languageOptions: {
            globals: Object.fromEntries(
                [
                    'process',
                    'console',
                    'Buffer',
                    'performance',
                    'setTimeout',
                    'clearTimeout',
                    'setImmediate',
                    'URL',
                    'require',
                    'module',
                    '__dirname',
                    'WebAssembly',
                    'SharedArrayBuffer',
                    'Atomics',
                    'structuredClone',
                    'TextEncoder',
                    'TextDecoder',
                ].map(name => [name, 'readonly']),
            ),
        },
        rules: {
            eqeqeq: ['error', 'always'],
            'no-constant-condition': ['error', { checkLoops: false }],
            'no-var': 'error',
            'prefer-const': 'error',
            'object-shorthand': 'error',
            'no-fallthrough': 'off', // tsc's noFallthroughCasesInSwitch
            'no-case-declarations': 'off',
            '@typescript-eslint/no-unused-vars': [
                'error',
                { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
            ],
            '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
            // Enum-like objects are `const enum`-free on purpose: isolatedModules forbids the ambient ones.
            '@typescript-eslint/no-namespace': 'off',
        },
    },
    {
        files: ['**/*.js', '**/*.cjs'],
        rules: { '@typescript-eslint/no-require-imports': 'off' },
    },
);

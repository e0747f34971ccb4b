'use strict';

const fs = require('node:fs');
const path = require('node:path');
const webpack = require('webpack');

const OUTPUT_DIRECTORY = path.join(__dirname, 'dist');

/** Marks the emitted file executable: npm does so when it installs a package, but `dist/cli.js` runs in place too. */
class ExecutableFile {
    constructor(name) {
        this.file = path.join(OUTPUT_DIRECTORY, name);
    }
    apply(compiler) {
        compiler.hooks.afterEmit.tap('ExecutableFile', () => fs.chmodSync(this.file, 0o755));
    }
}

/** Every program of the package: one bundle each, so that a process starts by reading one file. */
const PROGRAMS = [
    {
        name: 'cli',
        entry: 'src/cli/main.ts',
        plugins: [new webpack.BannerPlugin({ banner: '#!/usr/bin/env node', raw: true }), new ExecutableFile('cli.js')],
    },
    { name: 'adapter', entry: 'src/dap/main.ts' },
    // A worker thread of the two above, which they find beside themselves.
    { name: 'symbol-indexer', entry: 'src/dap/symbol-indexer.ts' },
    // The threads that vCPUs execute on, on KVM: workers of cli and adapter, too.
    { name: 'vcpu-worker', entry: 'src/kvm/vcpu-worker.ts' },
    // A worker thread of cli.
    { name: 'tier-sampler', entry: 'src/cli/tier-sampler.ts' },
    { name: 'extension', entry: 'src/extension/extension.ts', externals: { vscode: 'commonjs vscode' } },
    { name: 'webview-memory', entry: 'src/webview/memory/main.ts', browser: true },
    { name: 'webview-vm-exits', entry: 'src/webview/vm-exits/main.ts', browser: true },
];

module.exports = (_env, argv) => {
    const production = argv.mode !== 'development';
    const present = PROGRAMS.filter(program => fs.existsSync(path.join(__dirname, program.entry)));
    return present.map(({ name, entry, externals = {}, plugins = [], browser = false }) => ({
        name,
        target: browser ? 'web' : 'node20.19',
        entry: path.join(__dirname, entry),
        output: {
            path: OUTPUT_DIRECTORY,
            filename: `${name}.js`,
            // Chunks (worker threads) carry their program's name, since the programs share one folder.
            chunkFilename: `${name}.[name].js`,
            libraryTarget: browser ? undefined : 'commonjs2',
        },
        externals,
        externalsPresets: browser ? {} : { node: true },
        // A program finds its neighbours (worker threads, media) beside itself.
        node: { __dirname: false, __filename: false },
        resolve: { extensions: ['.ts', '.js'], extensionAlias: { '.js': ['.ts', '.js'] } },
        module: {
            rules: [{ test: /\.ts$/, loader: 'esbuild-loader', options: { target: 'es2022' } }],
        },
        plugins,
        // No `eval` in the pages: their content security policy forbids it.
        devtool: production || browser ? 'source-map' : 'eval-source-map',
        // Stack traces in reports should name our functions; the size saved by mangling is not worth that.
        optimization: { minimize: false },
        performance: false,
        stats: 'errors-warnings',
        cache: { type: 'filesystem', cacheDirectory: path.join(__dirname, '.cache', 'webpack') },
    }));
};

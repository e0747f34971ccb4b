/** `dist/adapter.js`: the debug adapter as VS Code starts it. */
import { runDapServer } from './server';

runDapServer(process.argv.slice(2)).then(
    status => process.exit(status),
    (error: unknown) => {
        process.stderr.write(`hyperscope: ${error instanceof Error ? error.message : String(error)}\n`);
        process.exit(2);
    },
);

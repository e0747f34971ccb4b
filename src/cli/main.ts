/** The command line: dispatches to the commands and turns errors into exit statuses. */
import { HyperscopeError } from '../common/errors';
import { runDapServer } from '../dap/server';
import { packageVersion } from './package-files';
import { lockstep } from './lockstep';
import { run } from './run';
import { HELP, UsageError } from './usage';

async function main(args: readonly string[]): Promise<number> {
    const [command, ...rest] = args;
    switch (command) {
        case 'run':
            if (rest.includes('--help') || rest.includes('-h')) {
                process.stdout.write(HELP);
                return 0;
            }
            return run(rest);
        case 'lockstep':
            return lockstep(rest);
        case 'dap':
            return runDapServer(rest);
        case undefined:
        case 'help':
        case '--help':
        case '-h':
            process.stdout.write(HELP);
            return 0;
        case '--version':
        case '-V':
            process.stdout.write(`hyperscope ${packageVersion()}\n`);
            return 0;
    }
    throw new UsageError(`unknown command '${command}'; hyperscope help lists them`);
}

main(process.argv.slice(2)).then(
    status => {
        // Not process.exit: output to a pipe may still be on its way.
        process.exitCode = status;
    },
    (error: unknown) => {
        if (error instanceof UsageError || error instanceof HyperscopeError) {
            process.stderr.write(`hyperscope: ${error.message}\n`);
            process.exitCode = 2;
            return;
        }
        throw error;
    },
);

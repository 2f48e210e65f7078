#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { PerformersError } from '../errors.js';
import { removePartial } from '../node/atomic-write.js';
import { benchCommand } from './bench.js';
import { featuresCommand } from './features.js';
import { inspectCommand } from './inspect.js';
import { linearizeCommand } from './linearize.js';
import { printError } from './output.js';
import { restoreCommand } from './restore.js';
import { verifyCommand } from './verify.js';

const program = new Command('performers')
  .description('linear-time and memory-linear attention for existing ONNX transformers')
  .addHelpText(
    'after',
    `
Exit codes: 0 done, 1 verify found an error above the bound or inspect a broken file, 2 wrong usage or input.

Examples:
  performers inspect models/MiniLM
  performers linearize models/MiniLM -o models/MiniLM-linear && performers verify models/MiniLM models/MiniLM-linear`,
  );
for (const command of [
  inspectCommand(),
  linearizeCommand(),
  verifyCommand(),
  restoreCommand(),
  featuresCommand(),
  benchCommand(),
]) {
  // Commander would print its own errors and exit 1; ours look alike whoever finds them.
  program.addCommand(command.exitOverride().configureOutput({ writeErr: () => undefined }));
}
program.exitOverride().configureOutput({ writeErr: () => undefined });

// What is being written is removed; the shell learns from the exit code which signal it was.
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  process.once(signal, () => {
    removePartial();
    process.exit(128 + number);
  });
}
// `performers inspect … | head` closes our stdout early: not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 2));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.exitCode !== 0) fail(usageError(error));
  } else fail(error);
}

function fail(error: unknown): void {
  printError(error, process.argv.includes('--json'));
  process.exitCode = 2;
}

function usageError({ code, message }: CommanderError): PerformersError {
  const commands = program.commands.map((command) => command.name()).join(', ');
  const what = code === 'commander.help' ? `no command given: ${commands}` : message.replace(/^error: /, '');
  return new PerformersError('PF202', what.replaceAll('\n', ' '), {
    at: 'command line',
    mend: 'performers --help and performers COMMAND --help show examples',
  });
}

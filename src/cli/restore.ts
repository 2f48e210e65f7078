import { Command } from 'commander';
import { restoreFiles } from '../node/restore-files.js';
import { print, printJson } from './output.js';

interface Options {
  readonly output: string;
  readonly force?: true;
  readonly json?: true;
}

export function restoreCommand(): Command {
  return new Command('restore')
    .description('bring back the original of a linearized file or folder')
    .argument('<patched>', 'what linearize wrote')
    .argument('<report>', 'the report that it wrote with it')
    .requiredOption('-o, --output <path>', 'where the original goes')
    .option('--force', 'replace what is there')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  performers restore linear.onnx linear.performers.json -o model.onnx
  performers restore models/MiniLM-linear models/MiniLM-linear/performers.json -o models/MiniLM-again`,
    )
    .action(async (patched: string, report: string, { output, force, json }: Options) => {
      const files = await restoreFiles(patched, report, output, { force });
      if (json) printJson({ schema: 'performers.restore/1', output, files });
      else print(`restored ${files.join(', ')}${files.length === 1 && files[0] === output ? '' : ` in ${output}`}`);
    });
}

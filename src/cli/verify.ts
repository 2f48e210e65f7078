import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { PerformersError } from '../errors.js';
import { type ComparedFile, type ComparedRun, compareFiles } from '../node/compare-files.js';
import { type IdentityFile, verifyIdentityFiles } from '../node/identity-files.js';
import { type TaskOptions, taskSummaries, verifyTask } from '../node/task-files.js';
import { type RuntimeChoice, readBound, readCount, readCounts, readPositive, runtimeChoices } from './arguments.js';
import { digits, print, printJson, table, withProgress, writeText } from './output.js';
import { renderTaskPage } from './task-page.js';
import { describeTask } from './task-tables.js';

interface Options {
  readonly identity?: true;
  readonly input?: string;
  readonly lengths?: number[];
  readonly batch?: number;
  readonly runtime: RuntimeChoice;
  readonly maxError?: number;
  readonly task?: TaskOptions['task'];
  readonly data?: readonly string[];
  readonly length?: number;
  readonly generate?: number;
  readonly baseline?: boolean;
  readonly size?: number;
  readonly seconds?: number;
  readonly inputs?: number;
  readonly page?: string;
  readonly force?: true;
  readonly json?: true;
}

const taskHelp = Object.entries(taskSummaries).map(([name, summary]) => `  ${name.padEnd(16)}${summary}`);

export function verifyCommand(): Command {
  return new Command('verify')
    .description('run an original and a patched model, compare outputs, time and peak memory')
    .argument('<path...>', 'ORIGINAL PATCHED; with --identity, any number of originals')
    .option('--identity', 'rewrite every site to exact attention and prove that nothing else changes')
    .option('--input <file>', 'run on these inputs: JSON, { NAME: { type, dims, data } }')
    .option('--lengths <list>', 'tokens, such as 128,512 (the default); of generation and retrieval, too', readCounts)
    .option('--batch <rows>', 'rows a batch, all but the first padded (default: 1)', readCount)
    .addOption(
      new Option('--runtime <name>', 'onnxruntime to run on').choices(Object.keys(runtimeChoices)).default('node'),
    )
    .option('--max-error <number>', 'exit 1 above this relRMS (default: 1e-3; identity 1e-5, float16 2e-3)', readBound)
    .addOption(
      new Option('--task <name>', 'measure what the model is for (below) on --data').choices(
        Object.keys(taskSummaries),
      ),
    )
    .option('--data <path...>', 'with --task: text, images, WAV or JSON lines of inputs that calibration has not seen')
    .option('--length <tokens>', 'with --task: tokens of a passage of text (default: up to 512)', readCount)
    .option('--generate <tokens>', 'with --task generation: tokens to go on for (default: 32)', readCount)
    .option('--no-baseline', 'with --task generation: no bounded cache of as many bytes beside a state (a third model)')
    .option('--size <pixels>', 'with --task: height and width of images (default: what the model is fed)', readCount)
    .option(
      '--seconds <seconds>',
      'with --task: join sounds to pieces of that length (default: as they are)',
      readPositive,
    )
    .option('--page <file.html>', 'with --task: the figures with plots, as a page')
    .option('--force', 'with --page: replace it')
    .option(
      '--inputs <count>',
      'with --task: inputs at most (default: 64; of generation 8 of the shortest length, of retrieval 5 a length)',
      readCount,
    )
    .option('--json', 'print JSON')
    .addHelpText('after', `\nTasks:\n${taskHelp.join('\n')}`)
    .addHelpText(
      'after',
      `
Examples:
  performers verify MiniLM/onnx/model.onnx linear.onnx --task embedding --data unseen.txt --inputs 200
  performers verify model.onnx linear.onnx --lengths 512,2048 --runtime both
  performers verify SmolLM2/onnx/model_q4.onnx linear.onnx --task generation --data unseen.txt --lengths 1024,4096 --page chat.html
  performers verify --identity models/MiniLM --json`,
    )
    .action((paths: string[], options: Options) =>
      options.identity ? runIdentity(paths, options) : runPair(paths, options),
    );
}

/** @throws PerformersError PF202 unless two models are named */
async function runPair(paths: readonly string[], options: Options): Promise<void> {
  const [original, patched, ...more] = paths;
  if (original === undefined || patched === undefined || more.length > 0) {
    throw new PerformersError('PF202', `verify compares two models, got ${paths.length}`, {
      at: 'verify ORIGINAL PATCHED',
      mend: 'name the original, then the patched one; --identity takes originals alone',
    });
  }
  if (Boolean(options.task) !== Boolean(options.data)) {
    throw new PerformersError(
      'PF501',
      `--task and --data belong together, and there is no ${options.task ? '--data' : '--task'}`,
      {
        at: 'verify',
        mend: 'performers verify ORIGINAL PATCHED --task embedding --data unseen.txt',
      },
    );
  }
  await (options.task ? runTask(original, patched, options.task, options) : runCompare(original, patched, options));
}

async function runTask(original: string, patched: string, task: TaskOptions['task'], options: Options): Promise<void> {
  const { data = [], runtime, page, force, json, ...more } = options;
  const [first = 'node'] = runtimeChoices[runtime];
  const result = await withProgress((onProgress) =>
    verifyTask(original, patched, { ...more, task, data, runtime: first, onProgress }),
  );
  if (page !== undefined) await writeText(page, renderTaskPage(result, basename(patched)), force);
  if (json) {
    printJson({ schema: 'performers.task/1', ...result });
    return;
  }
  print(describeTask(result));
}

async function runCompare(original: string, patched: string, options: Options): Promise<void> {
  const { input, lengths, batch, runtime, maxError = 1e-3, json } = options;
  const runtimes = runtimeChoices[runtime];
  const files = await withProgress((onProgress) =>
    compareFiles(original, patched, { inputFile: input, lengths, batch, runtimes, maxError, onProgress }),
  );
  const [only] = files;
  const schema = 'performers.verify/1';
  if (!json) print(files.map((file) => describeComparison(file, maxError)).join('\n\n'));
  else if (files.length === 1 && only) printJson({ schema, maxError, ...only });
  else printJson({ schema, maxError, files });
  if (!files.every(({ holds }) => holds)) process.exitCode = 1;
}

function describeComparison({ file, outputs, runs, holds }: ComparedFile, maxError: number): string {
  const lines = [
    file,
    table(['tokens', 'runtime', 'original ms', 'patched ms', 'speed', 'original MB', 'patched MB'], runs.map(runRow)),
  ];
  for (const { n, original, patched } of runs) {
    for (const [what, side] of Object.entries({ original, patched })) {
      if ('error' in side) lines.push(`${what} at ${n} tokens: ${side.error.message}`);
    }
  }
  if (outputs.length > 0)
    lines.push(
      table(
        ['output', 'relRMS', 'max error'],
        outputs.map(({ name, relRMS, maxAbs }) => [name, digits(relRMS), digits(maxAbs)]),
      ),
    );
  lines.push(`${holds ? 'holds' : 'does not hold'}: relRMS at most ${digits(maxError)} wherever the original runs`);
  return lines.join('\n');
}

function runRow({ n, runtime, original, patched }: ComparedRun): string[] {
  const ms = (side: ComparedRun['original']) => ('ms' in side ? digits(side.ms) : 'failed');
  const mb = (side: ComparedRun['original']) => ('ms' in side ? side.peakMB.toFixed(0) : '-');
  const speed = 'ms' in original && 'ms' in patched ? `${digits(original.ms / patched.ms)}×` : '-';
  return [String(n), runtime, ms(original), ms(patched), speed, mb(original), mb(patched)];
}

async function runIdentity(paths: readonly string[], { input, runtime, maxError, json }: Options): Promise<void> {
  const runtimes = runtimeChoices[runtime];
  const files = await withProgress((onProgress) =>
    verifyIdentityFiles(paths, { inputFile: input, runtimes, maxError, onProgress }),
  );
  if (json) printJson({ schema: 'performers.identity/1', files });
  else print(files.map(describeIdentity).join('\n\n'));
  if (!files.every(({ holds }) => holds)) process.exitCode = 1;
}

function describeIdentity({ file, runtime, sites, maxError, rounding, plans, holds, asWritten }: IdentityFile): string {
  if (sites === 0) return `${file}: no sites, nothing to prove`;
  const rows = plans.flatMap(({ plan, cases }) =>
    cases.map(({ name, outputs, originalError, patchedError }) => {
      const worst = outputs && Math.max(...outputs.map(({ relRMS }) => relRMS));
      const error = originalError ? 'the original does not run' : (patchedError?.message ?? '');
      return [plan, name, worst === undefined ? '-' : digits(worst), error.split('\n', 1)[0] ?? ''];
    }),
  );
  const verdict = `${holds ? 'holds' : 'DOES NOT HOLD'}: relRMS at most ${digits(maxError)}, ${sites} sites, ${runtime}${asWritten ? ', graph optimisations off' : ''}`;
  const own =
    rounding === undefined ? [] : [`by rounding alone the original differs from itself by ${digits(rounding)}`];
  return [file, table(['plan', 'case', 'relRMS', ''], rows), ...own, verdict].join('\n');
}

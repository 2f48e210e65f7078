import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Runtime } from './measurement.js';
import { type DemoPlan, defaultPlans, readPlans } from './plans.js';

export interface Settings {
  /** Absolute path of the model's folder. */
  readonly model: string;
  readonly image: string;
  readonly sizes: readonly number[];
  readonly plans: readonly DemoPlan[];
  /** What would take longer is left out. */
  readonly minutes: number;
  readonly runtime: Runtime;
  readonly out: string;
  /** Processes at a time. */
  readonly jobs: number;
  /** The command that gives this run again. */
  readonly command: string;
}

/** One measurement a core, two at most: they share the memory bus. */
const defaultJobs = Math.min(2, availableParallelism());

interface Given {
  readonly model: string;
  readonly image?: string;
  readonly sizes?: readonly number[];
  readonly plans?: readonly string[];
  readonly runtime: Runtime;
  readonly out: string;
  readonly jobs: number;
  readonly quick?: true;
  readonly minutes?: number;
}

const models = fileURLToPath(new URL('../models/', import.meta.url));
const usage = 2;

const examples = `
Plans are those of the library, with their options; PLAN@LAYERS puts a plan into some layers and exact-blocked into
the others; a FILE.plan.json is one that calibration wrote. Default plans: ${defaultPlans(join(models, 'vit-s14-saliency')).join(' ')}

Examples:
  npm start                                             the embedded model at 224, 448, 700 and 980 px, within 3 minutes
  npm start -- --quick                                  224 and 448 px only
  npm start -- --image cat.jpg --sizes 448 700          your own photo
  npm start -- --plans window:window=512 features:m=64  other plans
  npm start -- --plans window:window=256@0-3            a window in layers 0 to 3
  npm start -- --model ../my-vit --runtime node         a transformers.js folder of your own, on onnxruntime-node`;

/** Reads the command line; with a wrong value it says which, and ends the process with code 2. */
export async function readSettings(argv: readonly string[]): Promise<Settings> {
  const program = new Command('npm start --')
    .description('Runs a vision transformer as published and with other attention, and writes what that costs.')
    .option('--model <folder>', 'transformers.js folder, or the name of one in models/', 'vit-s14-saliency')
    .option('--image <file>', "photo (default: the model's sample)")
    .option('--sizes <px...>', 'sides of the resized photo (default: 224 448 700 980)', collectSizes)
    .option('--plans <plan...>', 'what takes the place of attention')
    .addOption(
      new Option('--runtime <name>', 'onnxruntime in WebAssembly, as in a browser, or native')
        .choices(['wasm', 'node'])
        .default('wasm'),
    )
    .option('--out <folder>', 'where report.html and report.json go', 'out')
    .option('--jobs <count>', 'measurements at a time, one thread each', readJobs, defaultJobs)
    .option('--quick', 'only 224 and 448 px')
    .option(
      '--minutes <count>',
      'leave out what would take longer (default: 3; no limit with --sizes or --plans)',
      readMinutes,
    )
    .addHelpText('after', examples)
    .allowExcessArguments(false)
    .showHelpAfterError('(npm start -- --help shows the options)')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : usage));
  program.parse(argv, { from: 'user' });
  const given = program.opts<Given>();
  const fail = (message: string): never => program.error(`error: ${message}`, { exitCode: usage });

  const model =
    findModel(given.model) ??
    fail(`no model '${given.model}': neither a folder with config.json and onnx/model.onnx, nor in models/`);
  const image = resolve(given.image ?? join(model, 'samples', 'astronaut.png'));
  if (!existsSync(image))
    fail(given.image ? `no image '${given.image}'` : 'this model has no sample photo: give one with --image');
  const sizes = given.sizes ?? (given.quick ? [224, 448] : [224, 448, 700, 980]);
  const patch = patchOf(model);
  for (const px of sizes) {
    if (px % patch !== 0)
      fail(
        `the model cuts images into patches of ${patch} px, and ${px} is no multiple: try ${Math.max(1, Math.round(px / patch)) * patch}`,
      );
  }
  return {
    model,
    image,
    sizes: [...new Set(sizes)].sort((a, b) => a - b),
    plans: await plansOf(given.plans ?? defaultPlans(model), fail),
    minutes: given.minutes ?? (given.plans || given.sizes ? Number.POSITIVE_INFINITY : 3),
    runtime: given.runtime,
    out: resolve(given.out),
    jobs: given.jobs,
    command: commandOf(given),
  };
}

async function plansOf(texts: readonly string[], fail: (message: string) => never): Promise<DemoPlan[]> {
  try {
    return await readPlans(texts);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

function findModel(name: string): string | undefined {
  const folders = [join(models, name), resolve(name)];
  return folders.find(
    (folder) => existsSync(join(folder, 'config.json')) && existsSync(join(folder, 'onnx', 'model.onnx')),
  );
}

function patchOf(model: string): number {
  const config: unknown = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
  const patch = typeof config === 'object' && config && 'patch_size' in config ? Number(config.patch_size) : 1;
  return Number.isInteger(patch) && patch > 0 ? patch : 1;
}

function collectSizes(text: string, before: readonly number[] = []): number[] {
  return [...before, ...text.split(',').map(readSize)];
}

function readSize(text: string): number {
  const px = Number(text);
  if (!Number.isInteger(px) || px < 14 || px > 4096)
    throw new InvalidArgumentError('Sizes are whole numbers of pixels, 14 to 4096.');
  return px;
}

function readJobs(text: string): number {
  const jobs = Number(text);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 16)
    throw new InvalidArgumentError('It is a whole number, 1 to 16.');
  return jobs;
}

function readMinutes(text: string): number {
  const minutes = Number(text);
  if (!(minutes > 0)) throw new InvalidArgumentError('It is a number above 0.');
  return minutes;
}

/** Only what was given; a path as it is seen from here, or its last part when it lies elsewhere. */
function commandOf(given: Given): string {
  const options = [
    given.model === 'vit-s14-saliency' ? '' : `--model ${shown(given.model)}`,
    given.image ? `--image ${shown(given.image)}` : '',
    given.quick ? '--quick' : '',
    given.minutes ? `--minutes ${given.minutes}` : '',
    given.sizes ? `--sizes ${given.sizes.join(' ')}` : '',
    given.plans ? `--plans ${given.plans.join(' ')}` : '',
    given.runtime === 'wasm' ? '' : `--runtime ${given.runtime}`,
    given.jobs === defaultJobs ? '' : `--jobs ${given.jobs}`,
  ].filter(Boolean);
  return options.length > 0 ? `npm start -- ${options.join(' ')}` : 'npm start';
}

function shown(path: string): string {
  const near = relative('.', resolve(path));
  return near.startsWith('..') || isAbsolute(near) ? (path.split(/[\\/]/).at(-1) ?? path) : near;
}

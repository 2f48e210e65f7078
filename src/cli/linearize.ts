import { basename } from 'node:path';
import { Command, Option } from 'commander';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import { type HealLevel, healMethods } from '../calibrate/heal/healing.js';
import { PerformersError } from '../errors.js';
import type { Report } from '../linearize.js';
import { type LinearizedFiles, type LinearizeFilesOptions, linearizeFiles } from '../node/linearize-files.js';
import { readPlanFile } from '../node/plan-file.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { type LayerRule, readPlan } from '../rewrite/plan.js';
import { readBound, readCount, readCounts, readHealing, readLayers, readPositive, readShare } from './arguments.js';
import { count, describeHealing, digits, formatIndices, print, printJson, withProgress, writeText } from './output.js';
import { renderPlanPage } from './plan-page.js';
import { drawPlan } from './plan-picture.js';

interface Options {
  readonly output: string;
  readonly plan?: string;
  readonly layers?: readonly LayerRule[];
  readonly planFile?: string;
  readonly maxError?: number;
  readonly data?: readonly string[];
  readonly budget?: number;
  readonly keep?: number;
  readonly maxCodes?: number;
  readonly candidates?: readonly string[];
  readonly blocks?: true;
  readonly heal?: boolean | readonly HealLevel[];
  readonly healSteps?: number;
  readonly seed?: number;
  readonly length?: number;
  readonly size?: readonly number[];
  readonly seconds?: number;
  readonly inputs?: number;
  readonly positions?: number;
  readonly recall?: true;
  readonly picture?: string;
  readonly page?: string;
  readonly sampleLength?: number;
  readonly input?: string;
  readonly runtime: NodeRuntime;
  readonly force?: true;
  readonly report?: string;
  readonly json?: true;
}

const healHelp = Object.entries(healMethods).map(([name, { summary }]) => `  ${name.padEnd(17)}${summary}`);
const planHelp = Object.entries(lowerings).map(([name, { summary }]) => `  ${name.padEnd(17)}${summary}`);

export function linearizeCommand(): Command {
  return new Command('linearize')
    .description('rewrite the attention of a model, or of every model of a folder')
    .argument('<path>', 'an .onnx file, or a model folder as transformers.js has it')
    .requiredOption('-o, --output <path>', 'the new .onnx file, or the new folder')
    .option('--plan <plan>', 'plan of every layer (see below), or auto (default: exact-blocked)')
    .option('--layers <rule>', 'LAYERS[/HEADS]=PLAN, an exception; may be repeated', readLayers)
    .option('--plan-file <file>', 'JSON with plan and rules')
    .option('--max-error <number>', 'largest relative RMS error of the output (auto: 0.05)', readBound)
    .option('--data <path...>', 'calibrate on text, images, WAV or JSON lines of inputs: a plan for every head')
    .option('--budget <keys>', 'calibrate: mean cost of a head, in key equivalents (default: 176)', readBound)
    .option('--keep <share>', 'calibrate: largest share of heads that stays exact (default: 10%)', readShare)
    .option('--max-codes <count>', 'calibrate: largest codebook, for smaller plan files (default: any)', readCount)
    .option('--candidates <plan...>', 'calibrate: choose from these plans (default: hybrids, by the kind of model)')
    .option('--blocks', 'calibrate: in sequences, try keys found by 4-bit estimates, too: nearer, not linear')
    .option(
      '--heal [ways]',
      'calibrate: heal in these ways, one after another, such as gain,mlp (default: gain; none for causal models and images)',
      readHealing,
    )
    .option('--no-heal', 'calibrate: heal in none')
    .option(
      '--heal-steps <count>',
      'calibrate: steps of distill and subspace, and of transfer a layer (default: 100)',
      readCount,
    )
    .option('--length <tokens>', 'calibrate: tokens of a passage of text (default: up to 512)', readCount)
    .option(
      '--size <pixels>',
      'calibrate: height and width of images, or several: 448,980 (default: what the model is fed)',
      readCounts,
    )
    .option(
      '--seconds <seconds>',
      'calibrate: join sounds, cut them into such pieces (default: as they are)',
      readPositive,
    )
    .option('--inputs <count>', 'calibrate: inputs at most (default: 64)', readCount)
    .option(
      '--positions <count>',
      'calibrate: passages begin anywhere in so many, for longer chats (default: at the first)',
      readCount,
    )
    .option('--recall', 'calibrate: passages repeat runs of themselves, for chats that look up what was said')
    .option('--seed <number>', 'calibrate: another calibration of the same data (default: 0)', readBound)
    .option('--picture <file.svg>', 'calibrate: draw the plan of every head, and cost against error')
    .option('--page <file.html>', 'calibrate: the same with the reason for every head, as a page')
    .option('--sample-length <tokens>', 'measure on generated inputs of this length (auto: 128)', readCount)
    .option('--input <file>', 'measure on these inputs: JSON, { NAME: { type, dims, data } }')
    .addOption(new Option('--runtime <name>', 'what auto runs models on').choices(['node', 'wasm']).default('node'))
    .option('--force', 'replace what an earlier run wrote')
    .option('--report <file>', 'where the report goes (default: beside the output; inside an output folder)')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nPlans, with options as in window:window=128,globals=4:\n${planHelp.join('\n')}`)
    .addHelpText('after', `\nWays to heal, each kept only if it improves held-out inputs:\n${healHelp.join('\n')}`)
    .addHelpText(
      'after',
      `
Examples:
  performers linearize model.onnx -o linear.onnx
  performers linearize models/MiniLM -o models/MiniLM-linear --plan auto --max-error 0.02
  performers linearize model.onnx -o out.onnx --plan window:window=128 --layers 0-1,11=exact-blocked
  performers linearize MiniLM/onnx/model.onnx -o linear.onnx --budget 176
  performers linearize MiniLM/onnx/model.onnx -o linear.onnx --data texts.txt --budget 104 --keep 0 --picture plan.svg
  performers linearize MiniLM/onnx/model.onnx -o nearer.onnx --data texts.txt --budget 271 --keep 20% --blocks
  performers linearize MiniLM/onnx/model.onnx -o features.onnx --data texts.txt --keep 0 --candidates features:map=sderf,m=64
  performers linearize SmolLM2/onnx/model.onnx -o chat.onnx --data texts.txt --length 1024 --recall --budget 271 --keep 20%
  performers linearize MiniLM/onnx/model.onnx -o again.onnx --plan-file linear.plan.json`,
    )
    .action(run);
}

async function run(path: string, options: Options): Promise<void> {
  const { output, layers, planFile, maxError, sampleLength, input, runtime, force, report, json, picture, page } =
    options;
  const file = planFile === undefined ? {} : await readPlanFile(planFile);
  const plan = options.plan ?? file.plan;
  const rules = [...(file.rules ?? []), ...(layers ?? [])];
  const result = await withProgress((onProgress) =>
    linearizeFiles(path, output, {
      plan,
      rules,
      maxError,
      saved: file.saved,
      calibration: calibrationOf(options),
      sampleLength,
      inputFile: input,
      runtime,
      force,
      reportFile: report,
      onProgress,
    }),
  );
  const content = result.plan?.content;
  if (picture !== undefined && content) await writeText(picture, drawPlan(content), force);
  if (page !== undefined && content) await writeText(page, renderPlanPage(content, basename(path)), force);
  if (json) {
    const files = result.reports.map(({ undo: _, ...rest }) => rest);
    const { file: planned, content: chosen } = result.plan ?? {};
    printJson({
      schema: 'performers.linearize/1',
      output,
      report: result.reportFile,
      files,
      copied: result.copied,
      ...(chosen && { plan: planned, calibration: chosen.calibration }),
    });
    return;
  }
  print(describe(result));
  if (plan === undefined && !content && !file.saved)
    print('plan: exact-blocked, the default: same answers, less memory. Linear time: --plan auto');
}

/**
 * The options of calibration, when one of them is given: without data of one's own it is on what is built in.
 *
 * @throws PerformersError PF202 where plans are named as well
 */
function calibrationOf(options: Options): LinearizeFilesOptions['calibration'] {
  const { data, budget, keep, maxCodes, candidates, blocks, length, size, recall, positions, seconds } = options;
  const asking = { data, budget, keep, maxCodes, candidates, blocks, length, size, recall, positions, seconds };
  const { picture, page } = options;
  const [option] = Object.entries({ ...asking, picture, page }).find(([, x]) => x !== undefined) ?? [];
  if (option === undefined) return undefined;
  const asked = `--${option.replace('maxCodes', 'max-codes')}`;
  const naming = { '--plan': options.plan, '--plan-file': options.planFile, '--layers': options.layers };
  const other = Object.entries(naming).find(([, x]) => x);
  if (!other) {
    const plans = candidates?.map(readPlan);
    const { heal, seed, inputs, maxError } = options;
    const training = { seed, steps: options.healSteps ?? 100 };
    return { ...asking, candidates: plans && (() => plans), heal, training, seed, inputs, maxError };
  }
  throw new PerformersError('PF202', `${asked} chooses a plan for every head, and ${other[0]} names them`, {
    at: other[0],
    mend: 'leave one of the two out; the plan file that calibration writes can be edited by hand',
  });
}

function describePlan({ file, content }: NonNullable<LinearizedFiles['plan']>): string[] {
  const { what, cost, exactCost, exactHeads, error, healing, builtIn } = content.calibration;
  const heads = content.sites.reduce((sum, site) => sum + site.heads, 0);
  const percent = (share: number) => `${digits(100 * share)} %`;
  const healed = healing.map((step) => `, ${describeHealing(step)}`).join('');
  return [
    `calibrated on ${what}${builtIn ? ' that are built in' : ''}, a third of them held out: ${cost.toFixed(0)} key equivalents a head, ${exactHeads} of ${heads} heads exact`,
    `exact attention costs ${exactCost.toFixed(0)} on the longest of them${cost < exactCost ? '' : ': the plan pays on longer inputs alone, and data like those is better'}`,
    `relative error of the output on the held-out inputs: ${percent(error.chosen)}${healed}; predicted ${percent(error.predicted)}`,
    ...healing.flatMap(({ level, left = [] }) => left.map((why) => `healing by ${level} left alone ${why}`)),
    ...(builtIn ? ['what the model is used on may be unlike the built-in data: better give some with --data'] : []),
    `plan of every head, with why, in ${file}: edit it, or use it again with --plan-file`,
  ];
}

function describe({ output, reportFile, reports, copied, plan }: LinearizedFiles): string {
  const lines = [...reports.flatMap(describeReport), ...(plan ? describePlan(plan) : [])];
  for (const { file, reason } of copied) lines.push(`${file}: copied as it is: ${reason}`);
  return [...lines, `written to ${output}, report in ${reportFile}`].join('\n');
}

/** What a row of the batch carries from call to call, where some layer carries a state. */
function describeCache(sites: Report['sites']): string[] {
  const sum = (key: 'constant' | 'perToken' | 'perTokenBefore') =>
    sites.reduce((total, { cache }) => total + (cache?.[key] ?? 0), 0);
  if (sum('constant') === 0) return [];
  const memory = sites.reduce((total, site) => total + (site.memory?.perToken ?? 0), 0);
  const grows = sum('perToken') === 0 ? 'and no more' : `and ${digits(sum('perToken') / 1e3)} kB a token`;
  return [
    `  key cache: ${digits(sum('constant') / 1e6)} MB ${grows}, where it was ${digits(sum('perTokenBefore') / 1e3)} kB a token`,
    ...(memory > 0
      ? [`  memory of cross-attention: ${digits(memory / 1e3)} kB for each of its tokens, as it was, computed once`]
      : []),
  ];
}

function describeReport({ file, sites, nearMisses, refusals, measured }: Report): string[] {
  const layersByPlan = new Map<string, number[]>();
  for (const { layer, plans, why } of sites) {
    const all = plans.map(({ heads, plan }) =>
      plans.length === 1 ? plan : `${plan} on heads ${formatIndices(heads)}`,
    );
    const line = `${all.join('; ')}${why === 'as asked' ? '' : `  (${why})`}`;
    layersByPlan.set(line, [...(layersByPlan.get(line) ?? []), layer]);
  }
  const left = nearMisses.length + refusals.length;
  return [
    `${file}: ${count(sites.length, 'layer')} rewritten${left > 0 ? `, ${left} left alone (performers inspect says why)` : ''}`,
    ...[...layersByPlan].map(([line, layers]) => `  ${formatIndices(layers)}: ${line}`),
    ...describeCache(sites),
    ...(measured ?? []).map(
      ({ name, relRMS, maxAbs }) => `  ${name}: relRMS ${digits(relRMS)}, at most ${digits(maxAbs)} off`,
    ),
  ];
}

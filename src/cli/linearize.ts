import { Command, Option } from 'commander';
import type { NodeRuntime } from '../adapters/runtime.node.js';
import type { Report } from '../linearize.js';
import { type LinearizedFiles, linearizeFiles } from '../node/linearize-files.js';
import { readPlanFile } from '../node/plan-file.js';
import { lowerings } from '../rewrite/lower/registry.js';
import type { LayerRule } from '../rewrite/plan.js';
import { readBound, readCount, readLayers } from './arguments.js';
import { count, digits, formatIndices, print, printJson, withProgress } from './output.js';

interface Options {
  readonly output: string;
  readonly plan?: string;
  readonly layers?: readonly LayerRule[];
  readonly planFile?: string;
  readonly maxError?: number;
  readonly sampleLength?: number;
  readonly input?: string;
  readonly runtime: NodeRuntime;
  readonly force?: true;
  readonly report?: string;
  readonly json?: true;
}

const planHelp = Object.entries(lowerings).map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}`);

export function linearizeCommand(): Command {
  return new Command('linearize')
    .description('rewrite the attention of a model, or of every model of a folder')
    .argument('<path>', 'an .onnx file, or a model folder as transformers.js has it')
    .requiredOption('-o, --output <path>', 'the new .onnx file, or the new folder')
    .option('--plan <plan>', 'plan of every layer (see below), or auto (default: exact-blocked)')
    .option('--layers <rule>', 'LAYERS[/HEADS]=PLAN, an exception; may be repeated', readLayers)
    .option('--plan-file <file>', 'JSON with plan and rules')
    .option('--max-error <number>', 'largest relative RMS error that auto accepts (default: 0.05)', readBound)
    .option('--sample-length <tokens>', 'measure on generated inputs of this length (auto: 128)', readCount)
    .option('--input <file>', 'measure on these inputs: JSON, { NAME: { type, dims, data } }')
    .addOption(new Option('--runtime <name>', 'what auto runs models on').choices(['node', 'wasm']).default('node'))
    .option('--force', 'replace what an earlier run wrote')
    .option('--report <file>', 'where the report goes (default: beside the output; inside an output folder)')
    .option('--json', 'print JSON')
    .addHelpText('after', `\nPlans, with options as in window:window=128,globals=4:\n${planHelp.join('\n')}`)
    .addHelpText(
      'after',
      `
Examples:
  performers linearize model.onnx -o linear.onnx
  performers linearize models/MiniLM -o models/MiniLM-linear --plan auto --max-error 0.02
  performers linearize model.onnx -o out.onnx --plan window:window=128 --layers 0-1,11=exact-blocked`,
    )
    .action(run);
}

async function run(path: string, options: Options): Promise<void> {
  const { output, layers, planFile, maxError, sampleLength, input, runtime, force, report, json } = options;
  const file = planFile === undefined ? {} : await readPlanFile(planFile);
  const plan = options.plan ?? file.plan;
  const rules = [...(file.rules ?? []), ...(layers ?? [])];
  const result = await withProgress((onProgress) =>
    linearizeFiles(path, output, {
      plan,
      rules,
      maxError,
      sampleLength,
      inputFile: input,
      runtime,
      force,
      reportFile: report,
      onProgress,
    }),
  );
  if (json) {
    const files = result.reports.map(({ undo: _, ...rest }) => rest);
    printJson({ schema: 'performers.linearize/1', output, report: result.reportFile, files, copied: result.copied });
    return;
  }
  print(describe(result));
  if (plan === undefined)
    print('plan: exact-blocked, the default: same answers, less memory. Linear time: --plan auto');
}

function describe({ output, reportFile, reports, copied }: LinearizedFiles): string {
  const lines = reports.flatMap(describeReport);
  for (const { file, reason } of copied) lines.push(`${file}: copied as it is: ${reason}`);
  return [...lines, `written to ${output}, report in ${reportFile}`].join('\n');
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
    ...(measured ?? []).map(
      ({ name, relRMS, maxAbs }) => `  ${name}: relRMS ${digits(relRMS)}, at most ${digits(maxAbs)} off`,
    ),
  ];
}

import { Command, Option } from 'commander';
import { type MethodName, methodNames, methods } from '../bench/methods.js';
import { busyText, growthOf, quantities, rooflineText, tableOf } from '../bench/report.js';
import type { BackendResult, BenchResult } from '../bench/result.js';
import { type ShapeName, shapeNames, shapes } from '../bench/shape.js';
import { nearest, PerformersError } from '../errors.js';
import { checkTarget } from '../node/atomic-write.js';
import { benchInNode } from '../node/bench.js';
import { type BackendName, backends, isBackendName } from '../node/bench-backends.js';
import { readCount, readNames, readPositive } from './arguments.js';
import { print, printJson, table, withProgress, writeText } from './output.js';

interface Options {
  readonly backend: string[];
  readonly shape: ShapeName;
  readonly method?: string[];
  readonly minN: number;
  readonly maxN: number;
  readonly repeats: number;
  readonly limit: number;
  readonly seed: number;
  readonly html?: string;
  readonly force?: true;
  readonly json?: true;
}

/** Methods that are kernels need WebGPU: the page measures those. */
const models: MethodName[] = methodNames.filter((name) => methods[name].form === 'model');

export function benchCommand(): Command {
  const lines = (entries: readonly (readonly [string, { readonly what: string }])[]) =>
    entries.map(([name, { what }]) => `  ${name.padEnd(16)}${what}`).join('\n');
  return new Command('bench')
    .description(
      'measure attention on this machine: time, memory and error of every method as the input grows, until it fails',
    )
    .option('--backend <names>', 'where, joined by commas', readNames, ['wasm-1', 'cpu-1'])
    .addOption(new Option('--shape <name>', 'of the layer').choices(shapeNames).default('encoder'))
    .option('--method <names>', 'what, joined by commas (default: all)', readNames)
    .option('--min-n <tokens>', 'shortest input; lengths double', readCount, 128)
    .option('--max-n <tokens>', 'longest input', readCount, 65_536)
    .option('--repeats <count>', 'runs of one length at most', readCount, 9)
    .option('--limit <seconds>', 'time for one length: beyond it a method is not followed', readPositive, 5)
    .option('--seed <number>', 'of the inputs', readCount, 1)
    .option('--html <file>', 'write the result as a page, with plots')
    .option('--force', 'replace the page')
    .option('--json', 'print JSON (docs/bench.schema.json)')
    .addHelpText('after', `\nBackends:\n${lines(Object.entries(backends))}`)
    .addHelpText('after', `\nShapes:\n${lines(Object.entries(shapes))}`)
    .addHelpText('after', `\nMethods:\n${lines(models.map((name) => [name, methods[name]] as const))}`)
    .addHelpText(
      'after',
      `
A method that fails, takes too long or too much memory is a result, with the reason; nothing longer of it is tried.

Examples:
  performers bench --max-n 4096
  performers bench --backend wasm-1,wasm --shape vit --html bench.html
  performers bench --backend cpu --shape decoder --method plain,fused,features --json > result.json`,
    )
    .action(run);
}

async function run({
  backend,
  shape,
  method,
  minN,
  maxN,
  repeats,
  limit,
  seed,
  html,
  force,
  json,
}: Options): Promise<void> {
  const lengths = doubling(minN, maxN);
  const chosen = backend.map((name) => named(name, isBackendName, Object.keys(backends) as BackendName[], '--backend'));
  const wanted = method?.map((name) => named(name, isModel, models, '--method'));
  // Not after half an hour of measuring.
  if (html) await checkTarget(html, 'file', { force });
  const result = await withProgress((onProgress) =>
    benchInNode({
      backends: chosen,
      methods: wanted ?? models,
      shape,
      lengths,
      repeats,
      limitMs: 1000 * limit,
      seed,
      onProgress,
    }),
  );
  if (html) {
    // Loaded here, because nothing else of this command draws.
    const { renderBenchPage } = await import('./bench-page.js');
    await writeText(html, renderBenchPage(result), force);
  }
  if (json) printJson(result);
  else {
    const busy = busyText(result.machine);
    print(
      [result.title, ...(busy ? [busy] : []), ...result.backends.flatMap((one) => describe(result, one))].join('\n'),
    );
  }
}

function describe(result: BenchResult, backend: BackendResult): string[] {
  const head = `\n${backend.name}: ${backend.what}, ${backend.threads === 1 ? '1 thread' : `${backend.threads} threads`}; ${rooflineText(backend)}`;
  const parts = (['time', 'memory', 'error'] as const).flatMap((name) => {
    const found = tableOf(result, backend, name);
    const { title, unit } = quantities[name];
    return found ? [`\n${title}${unit ? `, ${unit}` : ''}`, table(found.head, found.rows)] : [];
  });
  const growth = growthOf(result, backend);
  return [head, ...parts, '', table(growth.head, growth.rows)];
}

/** minN, 2 minN … up to maxN. @throws PerformersError PF202 where there is none */
function doubling(minN: number, maxN: number): number[] {
  if (minN > maxN) {
    throw new PerformersError('PF202', `--min-n ${minN} is above --max-n ${maxN}`, {
      at: '--min-n',
      mend: 'give a --max-n at least as large',
    });
  }
  return Array.from({ length: Math.floor(Math.log2(maxN / minN)) + 1 }, (_, i) => minN * 2 ** i);
}

function isModel(name: string): name is MethodName {
  return models.some((model) => model === name);
}

/** @throws PerformersError PF202 for a name that is none of them, with the near one */
function named<T extends string>(name: string, is: (name: string) => name is T, all: readonly T[], at: string): T {
  if (is(name)) return name;
  const near = nearest(name, all);
  throw new PerformersError('PF202', `no '${name}' to measure${near ? `; did you mean '${near}'?` : ''}`, {
    at,
    mend: `use some of ${all.join(', ')}`,
  });
}

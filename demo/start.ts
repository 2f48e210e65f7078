/*
 * npm start: a real vision transformer at growing sizes, as published and with other attention. Prints what each plan
 * costs and what it destroys, and writes out/report.html and out/report.json.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { inspect, PerformersError } from '../src/index.js';
import { makeBudget } from './budget.js';
import { conclusions } from './conclusions.js';
import { clock } from './format.js';
import { describeMachine } from './machine.js';
import type { Job, Measurement } from './measurement.js';
import { checkPlans, original } from './plans.js';
import { showProgress } from './progress.js';
import { disturbance, makeRow, type Row } from './row.js';
import { runJobs } from './run.js';
import { readSettings, type Settings } from './settings.js';
import { coloured, header, plain, planList, styles, tableRow } from './table.js';
import { verdictRule } from './verdict.js';

const settings = await readSettings(process.argv.slice(2));
const paint = process.stdout.isTTY && !process.env.NO_COLOR ? coloured : plain;
try {
  await main(settings);
} catch (error) {
  if (!(error instanceof PerformersError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

async function main({
  model,
  image,
  sizes,
  plans,
  minutes,
  runtime,
  jobs: atOnce,
  out,
  command,
}: Settings): Promise<void> {
  const start = performance.now();
  const machine = describeMachine();
  const bytes = readFileSync(join(model, 'onnx', 'model.onnx'));
  const { sites } = await inspect(bytes, { file: `${basename(model)}/onnx/model.onnx` });
  await checkPlans(bytes, plans);
  const columns = [original, ...plans];
  const headPx = sizes.find((px) => px === 448) ?? sizes[0];
  const jobs = sizes.flatMap((px): Job[] =>
    columns.map((plan) => ({ model, image, px, plan, runtime, heads: px === headPx })),
  );
  const run = runJobs(
    jobs,
    atOnce,
    makeBudget(minutes, () => performance.now() - start),
  );
  const progress = showProgress(run, jobs.length, start);
  const interrupt = () => {
    progress.end();
    run.stop();
    console.error('\ninterrupted: no report was written');
    process.exit(130);
  };
  // Under npm an interrupt arrives twice: from the terminal, and from npm.
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);

  const where = runtime === 'wasm' ? 'onnxruntime-web (WebAssembly)' : 'onnxruntime-node';
  console.log(
    `${paint('bold', 'performers.js')}  ${basename(model)} (${sites.length} attention layers) on ${basename(image)}, ${where}, 1 thread\n`,
  );
  console.log(`${planList(columns, paint)}\n\n${header(paint)}`);

  const rows: Row[] = [];
  let reference: Measurement | undefined;
  for (const [i, { px, plan }] of jobs.entries()) {
    const outcome = await run.outcomes[i];
    if (!outcome) continue;
    if (!plan.options) reference = outcome.ran ? outcome.measurement : undefined;
    const row = makeRow(px, plan, outcome, reference);
    progress.print(tableRow(row, rows, paint));
    rows.push(row);
  }
  progress.end();
  const found = conclusions(rows).map(({ verdict, plan, text }) => `  ${paint(styles[verdict], plan.label)}: ${text}`);
  const remarks = [`verdicts compare maps: ${verdictRule()}`, disturbance(rows)].filter(Boolean);
  console.log(`\n${found.join('\n')}\n\n${remarks.map((remark) => paint('dim', `  ${remark}`)).join('\n')}`);

  // Loaded only now: it is large, and children are forked from a small process.
  const { writeReport } = await import('./report/report.js');
  const seconds = (performance.now() - start) / 1000;
  const files = await writeReport({
    rows,
    machine,
    command,
    image,
    model: basename(model),
    sites: sites.length,
    runtime,
    atOnce,
    seconds,
  });
  mkdirSync(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeWhole(join(out, name), text);
  const page = relative('.', join(out, 'report.html'));
  console.log(`\n${paint('bold', page)} and report.json written, ${clock(performance.now() - start)} in all`);
}

/** Under its own name only once it is complete. */
function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

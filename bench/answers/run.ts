/**
 * npx tsx bench/answers/run.ts SUITE… [--inputs 64] [--held 200] [--fit PATH…] [--unseen PATH…] [--plan FILE] [--as NAME]: what
 * calibrated plans keep of a real model's answers, on data that calibration has not seen. Writes bench/results/answers-SUITE.json
 * and .md, or answers-NAME. Models and data lie in ../shared or under PERFORMERS_SHARED.
 */
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine } from '../machine.js';

export type AnswerRow = Readonly<Record<string, string | number>>;

export interface AnswerSuite {
  readonly title: string;
  run(options: {
    readonly inputs: number;
    readonly held: number;
    /** Data of one's own, for suites that take it: to calibrate on, and to measure on. */
    readonly fit: readonly string[];
    readonly unseen: readonly string[];
    /** A plan file in the place of what the suite would calibrate; those of smollm2 alone take one. */
    readonly plan?: string;
    readonly add: (row: AnswerRow) => void;
  }): Promise<void>;
}

/** Loaded when asked for: each opens its model. */
const suites: Readonly<Record<string, () => Promise<AnswerSuite>>> = {
  minilm: async () => (await import('./minilm.js')).minilm,
  'minilm-blocks': async () => (await import('./minilm.js')).minilmBlocks,
  'minilm-distilled': async () => (await import('./minilm.js')).minilmDistilled,
  'minilm-time': async () => (await import('./minilm.js')).minilmTime,
  vit: async () => (await import('./vit.js')).vit,
  'vit-sizes': async () => (await import('./vit.js')).vitSizes,
  'vit-time': async () => (await import('./vit.js')).vitTime,
  moonshine: async () => (await import('./moonshine.js')).moonshine,
  pipelines: async () => (await import('./pipelines.js')).pipelines,
  smollm2: async () => (await import('./smollm2.js')).smollm2,
  'smollm2-plain': async () => (await import('./smollm2.js')).smollm2Plain,
  'smollm2-small': async () => (await import('./smollm2.js')).smollm2Small,
  'smollm2-codes': async () => (await import('./smollm2.js')).smollm2Codes,
};

const root = fileURLToPath(new URL('../../', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string', default: '64' },
    held: { type: 'string', default: '200' },
    fit: { type: 'string', multiple: true, default: [] },
    unseen: { type: 'string', multiple: true, default: [] },
    plan: { type: 'string' },
    as: { type: 'string' },
  },
});
const unknown = positionals.filter((name) => !Object.hasOwn(suites, name));
if (positionals.length === 0 || unknown.length > 0) {
  console.error(`name a suite: ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}
for (const name of positionals) {
  const suite = await suites[name]();
  const [inputs, held] = [Number(values.inputs), Number(values.held)];
  const { fit, unseen, plan, as = name } = values;
  const given = Object.entries({ fit, unseen, plan, as: values.as })
    .flatMap(([option, value]) => [value ?? []].flat().map((path) => ` --${option} ${basename(path)}`))
    .join('');
  const command = `npx tsx bench/answers/run.ts ${name} --inputs ${inputs} --held ${held}${given}`;
  const file = join(root, 'bench', 'results', `answers-${as}`);
  const measuredOn = machine();
  const rows: AnswerRow[] = [];
  // After every row: what an interrupted run has measured is measured.
  const add = (row: AnswerRow) => {
    console.log(JSON.stringify(row));
    rows.push(row);
    const result = { schema: 'performers.bench.answers/1', title: suite.title, command, machine: measuredOn, rows };
    writeFileSync(`${file}.json`, `${JSON.stringify(result, null, 1)}\n`);
    writeFileSync(`${file}.md`, markdown(suite.title, command, rows));
  };
  await suite.run({ inputs, held, fit, unseen, plan, add });
}

/** All rows under all the columns that some row has. */
function markdown(title: string, command: string, rows: readonly AnswerRow[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value: string | number | undefined) => (typeof value === 'number' ? digits(value) : (value ?? ''));
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `${title}. Made by \`${command}\`.`,
    '',
    line(columns.map((name) => (name === 'what' ? '' : name))),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((name) => cell(row[name])))),
    '',
  ].join('\n');
}

function digits(value: number): string {
  if (Number.isInteger(value)) return String(value);
  if (Math.abs(value) >= 10) return value.toFixed(0);
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : value.toFixed(4);
}

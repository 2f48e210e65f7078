/**
 * npx tsx bench/features/run.ts [SUITE…]: random features on real data. Writes bench/results/features-SUITE.json and, where there is
 * something to draw, .svg beside it. Data as for `performers features`: PERFORMERS_DATA, or data, or ../shared/data; `calibrated` takes
 * its model from ../shared/models.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { machine } from '../machine.js';
import { calibratedMaps } from './calibrated.js';
import { deepKernel } from './deep-kernel.js';
import { indefinite } from './indefinite.js';
import { kernels } from './kernels.js';
import { lowBit } from './low-bit.js';
import { order } from './order.js';
import { quasi } from './quasi.js';

export interface FeatureSuite<Row> {
  readonly title: string;
  readonly run: (report: (what: string, done: number, total: number) => void) => Promise<Row[]>;
  /** The figure of the rows, as SVG. */
  readonly draw?: (rows: readonly Row[]) => string;
}

const suites: Readonly<Record<string, (name: string) => Promise<void>>> = {
  kernels: (name) => runSuite(name, kernels),
  'low-bit': (name) => runSuite(name, lowBit),
  indefinite: (name) => runSuite(name, indefinite),
  order: (name) => runSuite(name, order),
  quasi: (name) => runSuite(name, quasi),
  'deep-kernel': (name) => runSuite(name, deepKernel),
  calibrated: (name) => runSuite(name, calibratedMaps),
};

const root = fileURLToPath(new URL('../../', import.meta.url));
const args = process.argv.slice(2);
const redraw = args.includes('--redraw');
const wanted = args.filter((name) => name !== '--redraw');
const unknown = wanted.filter((name) => !Object.hasOwn(suites, name));
if (unknown.length > 0) {
  console.error(`no suite ${unknown.join(', ')}; there are ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}
for (const [name, run] of Object.entries(suites)) if (wanted.length === 0 || wanted.includes(name)) await run(name);

async function runSuite<Row>(name: string, suite: FeatureSuite<Row>): Promise<void> {
  const file = join(root, 'bench', 'results', `features-${name}.json`);
  const start = performance.now();
  const rows: Row[] = redraw
    ? JSON.parse(readFileSync(file, 'utf8')).rows
    : await suite.run((what, done, total) => {
        console.log(`${((performance.now() - start) / 1000).toFixed(0)} s  ${done}/${total}  ${what}`);
      });
  if (!redraw) {
    const result = { schema: `performers.bench.features.${name}/1`, title: suite.title, machine: machine(), rows };
    writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  }
  if (suite.draw) writeFileSync(file.replace(/json$/, 'svg'), suite.draw(rows));
}

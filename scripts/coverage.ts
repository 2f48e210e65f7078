/**
 * Writes docs/coverage.md: what of the exporter graphs in test/graphs is found, what the identity plans change, and what is
 * refused and why. Run with --print to print it instead; rows without the error figures are the same on every machine.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nodeSessions } from '../src/adapters/runtime.node.js';
import { inspect } from '../src/linearize.js';
import { readInputFile } from '../src/node/input-file.js';
import type { Refusal, Site } from '../src/rewrite/site.js';
import { verifyIdentity } from '../src/verify.js';

interface Entry {
  readonly file: string;
  readonly io: string;
  readonly family: string;
  readonly exporter: string;
  readonly dtype: string;
  readonly opset: number;
}

export interface Row {
  readonly family: string;
  readonly exporter: string;
  readonly opset: number;
  readonly type: string;
  readonly found: string;
  /** Largest relRMS of an output under any identity plan; undefined where there is nothing to rewrite. */
  readonly error?: number;
  readonly refused: string;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const graph = (name: string) => `${root}test/graphs/${name}`;

export async function coverage({ measured }: { readonly measured: boolean }): Promise<Row[]> {
  const entries: Entry[] = JSON.parse(readFileSync(graph('manifest.json'), 'utf8'));
  const rows: Row[] = [];
  for (const entry of entries) {
    const { sites, nearMisses, refusals } = inspect(readFileSync(graph(entry.file)), { file: entry.file });
    const left = [
      ...refusals,
      ...nearMisses.map(({ expected, found }) => ({ reason: `${found}; expected ${expected}` })),
    ];
    const { family, opset, dtype: type } = entry;
    const rewritten = [...sites, ...refusals.flatMap(({ site }) => site ?? [])];
    const error = measured && rewritten.length > 0 ? await identityError(entry, rewritten) : undefined;
    rows.push({
      family,
      exporter: nameOf(entry.exporter),
      opset,
      type,
      found: counted(sites.map(describe)),
      ...(error !== undefined && { error }),
      refused: counted(left.map(reasonOf)),
    });
  }
  return rows;
}

export function formatRows(rows: readonly Row[]): string {
  const lines = rows.map(({ family, exporter, opset, type, found, error, refused }) => {
    const cells = [family, exporter, String(opset), type, found, figure(error), refused];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  const head = ['family', 'exporter', 'opset', 'type', 'found and rewritten', 'identity', 'refused, and why'];
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...lines].join('\n');
}

const figure = (error: number | undefined) => (error === undefined ? '' : error === 0 ? '0' : error.toExponential(0));

async function identityError({ file, io, dtype }: Entry, sites: readonly Site[]): Promise<number> {
  const asWritten = dtype.startsWith('qdq') && sites.some(({ operands }) => operands.rounding);
  const createSession = await nodeSessions('node', graph(file), {
    logSeverityLevel: 3,
    graphOptimizationLevel: asWritten ? 'disabled' : 'all',
  });
  const cases = [{ name: file, feeds: await readInputFile(graph(io)) }];
  const plans = await verifyIdentity(readFileSync(graph(file)), cases, createSession);
  return Math.max(...plans.flatMap(({ outputs }) => outputs.map(({ relRMS }) => relRMS)));
}

function describe({ op, kind, mask, positional, heads, kvHeads, pastKeyValues }: Site): string {
  const parts = [
    op === 'Softmax' ? kind : `${op}, ${kind}`,
    mask !== 'none' && mask,
    positional === 'rope' && 'rope',
    kvHeads !== heads && 'grouped',
    pastKeyValues && 'cache',
  ];
  return parts.filter((part) => part).join(', ');
}

const reasonOf = ({ reason, site }: Pick<Refusal, 'reason' | 'site'>) =>
  `${reason}${site ? ' (exact plans take it)' : ''}`;

/** Alike but for the numbers in node names: said once, with how many there are. */
function counted(texts: readonly string[]): string {
  const groups = new Map<string, string[]>();
  for (const text of texts) {
    const key = text.replace(/\d+/g, '#');
    groups.set(key, [...(groups.get(key) ?? []), text]);
  }
  return [...groups.values()].map((alike) => `${alike.length} × ${alike[0]}`).join('; ');
}

function nameOf(exporter: string): string {
  const [tool = ''] = exporter.split(', from:');
  return tool
    .replace('torch.onnx.export(dynamo=True)', 'dynamo')
    .replace('torch.onnx.export(dynamo=False)', 'TorchScript')
    .replace(/ \([^)]*\)/g, '')
    .replace(/, (task|file|opset)[= ][^,]*/g, '');
}

const text = (table: string) => `# Coverage

What performers.js finds in graphs of real exporters, with tiny weights (test/graphs). \`identity\` is the largest relRMS of
any output when every site is rewritten to exact attention, whole and by blocks of queries, on onnxruntime-node.
Written by \`npx tsx scripts/coverage.ts\`.

${table}
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const page = text(formatRows(await coverage({ measured: true })));
  if (process.argv.includes('--print')) console.log(page);
  else writeFileSync(`${root}docs/coverage.md`, page);
}

/** What `verify --task` measured, as tables: one form for the terminal and the page. */
import type { TaskResult } from '../node/task-files.js';
import type { Figure } from '../tasks/figures.js';
import { found } from '../tasks/retrieval.js';
import { digits, table } from './output.js';

export interface Table {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function describeTask(result: TaskResult): string {
  const [first, ...others] = tablesOf(result);
  const text = ({ caption, head, rows }: Table) => `${caption}\n${table(head, rows)}`;
  return [`${result.task} on ${result.what}\n${table(first.head, first.rows)}`, ...others.map(text)].join('\n\n');
}

export function tablesOf({ figures, generation, answers }: TaskResult): Table[] {
  const tables: Table[] = [
    {
      caption: 'Figures',
      head: ['', 'patched against original', '95 % interval'],
      rows: figures.map((figure) => [figure.name, figure.value.toFixed(4), interval(figure)]),
    },
  ];
  if (generation) tables.push(byLength(generation), byPosition(generation));
  if (answers) tables.push(byCode(answers));
  return tables;
}

const interval = ({ interval: ends }: Figure) => (ends ? ends.map((end) => end.toFixed(4)).join(' … ') : '');
const withInterval = (figure: Figure) => `${figure.value.toFixed(4)}${figure.interval ? ` (${interval(figure)})` : ''}`;

type Generation = NonNullable<TaskResult['generation']>;

function byLength({ lengths }: Generation): Table {
  const turns = (
    { original, patched }: { original: number; patched: number },
    of: (value: number) => string = digits,
  ) => `${of(original)} → ${of(patched)}`;
  return {
    caption: 'By length of the text: original → patched',
    head: ['tokens', 'passages', 'loss', 'change', 'same token', 'alike', 'MB a call', 'ms a token', 'prompt tokens/s'],
    rows: lengths.map((row) => [
      String(row.length),
      String(row.passages),
      row.loss.toFixed(3),
      withInterval(row.change),
      row.sameTop.value.toFixed(3),
      row.alike.value.toFixed(1),
      turns(row.bytes, (bytes) => digits(bytes / 1e6)),
      turns(row.msPerToken),
      turns(row.promptTokensPerSecond),
    ]),
  };
}

function byPosition({ positions }: Generation): Table {
  return {
    caption: 'By tokens before',
    head: ['tokens before', 'passages', 'loss', 'change of the loss (95 % interval)', 'same token'],
    rows: positions.map((bucket) => [
      `${bucket.from}–${bucket.to}`,
      String(bucket.passages),
      bucket.original.value.toFixed(3),
      withInterval(bucket.change),
      bucket.sameTop.value.toFixed(3),
    ]),
  };
}

function byCode(answers: NonNullable<TaskResult['answers']>): Table {
  return {
    caption: 'Pass codes',
    head: ['tokens', 'depth', 'code', 'original', 'patched'],
    rows: answers.map((one) => {
      const said = (side: 'original' | 'patched') =>
        `${found(one, side) ? '+' : '-'} ${one.answer[side].trim().replace(/\s+/g, ' ')}`;
      return [String(one.length), one.depth.toFixed(2), one.code, said('original'), said('patched')];
    }),
  };
}

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
  const figures = `${result.task} on ${result.what}\n${table(first.head, first.rows)}`;
  return [figures, ...others.map(text), ...warningsOf(result)].join('\n\n');
}

/** What people should know before they trust the figures. */
export function warningsOf({ unlike }: TaskResult): string[] {
  if (!unlike) return [];
  const percent = (value: number) => `${(100 * value).toPrecision(3)} %`;
  return [
    `These inputs look unlike those of calibration: the output errs by ${percent(unlike.error)}, on the inputs held out there by ${percent(unlike.calibrated)}. Calibrate on inputs of this kind and length: performers linearize --data.`,
  ];
}

export function tablesOf({ figures, generation, answers }: TaskResult): Table[] {
  const tables: Table[] = [
    {
      caption: 'Figures',
      head: ['', 'patched against original', '95 % interval'],
      rows: figures.map((figure) => [figure.name, figure.value.toFixed(4), interval(figure)]),
    },
  ];
  if (generation) {
    const bounded = generation.baseline ? [byLengthBounded(generation.baseline)] : [];
    tables.push(byLength(generation), ...bounded, byPosition(generation));
  }
  if (answers) tables.push(byCode(answers));
  return tables;
}

const interval = ({ interval: ends }: Figure) => (ends ? ends.map((end) => end.toFixed(4)).join(' … ') : '');
const withInterval = (figure: Figure) => `${figure.value.toFixed(4)}${figure.interval ? ` (${interval(figure)})` : ''}`;

type Generation = NonNullable<TaskResult['generation']>;

const turns = ({ original, patched }: { original: number; patched: number }, of: (value: number) => string = digits) =>
  `${of(original)} → ${of(patched)}`;

function byLength({ lengths }: Generation): Table {
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

function byLengthBounded({ lengths, windows }: NonNullable<Generation['baseline']>): Table {
  return {
    caption: 'The original with a bounded cache of as many bytes instead, which drops the oldest keys (window-causal)',
    head: ['tokens', 'keys seen', 'change', 'same token', 'alike', 'MB a call', 'ms a token', 'prompt tokens/s'],
    rows: lengths.map((row) => [
      String(row.length),
      String(windows.find(({ length }) => length === row.length)?.window ?? ''),
      withInterval(row.change),
      row.sameTop.value.toFixed(3),
      row.alike.value.toFixed(1),
      digits(row.bytes.patched / 1e6),
      digits(row.msPerToken.patched),
      digits(row.promptTokensPerSecond.patched),
    ]),
  };
}

function byPosition({ positions, baseline }: Generation): Table {
  const head = ['tokens before', 'passages', 'loss', 'change of the loss (95 % interval)', 'same token'];
  const dropping = new Map(baseline?.positions.map((bucket) => [bucket.from, bucket]));
  return {
    caption: 'By tokens before',
    head: baseline ? [...head, 'change, bounded cache', 'same token, bounded cache'] : head,
    rows: positions.map((bucket) => {
      const other = dropping.get(bucket.from);
      return [
        `${bucket.from}–${bucket.to}`,
        String(bucket.passages),
        bucket.original.value.toFixed(3),
        withInterval(bucket.change),
        bucket.sameTop.value.toFixed(3),
        ...(other ? [withInterval(other.change), other.sameTop.value.toFixed(3)] : []),
      ];
    }),
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

import { PerformersError } from '../errors.js';
import type { BenchResult } from './result.js';

/**
 * A result from the text of a file, as `performers bench --json` prints it and the page copies it. What is read of it to show it is checked, each
 * field for its type; docs/bench.schema.json is the whole of it.
 *
 * @throws PerformersError PF107 naming the first field that is not as it should be
 */
export function readResult(text: string, file: string): BenchResult {
  const found = parse(text);
  const wrong = fault(found, form, 'the file') ?? unmeasured(found as BenchResult);
  if (wrong === undefined) return found as BenchResult;
  throw new PerformersError('PF107', `${file} is no result of a bench: ${wrong}`, {
    at: file,
    mend: 'choose a file that performers bench --json printed or the bench page saved',
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whatever else it is.
    return undefined;
  }
}

/** Of a cell that ran there are a time and an error. */
function unmeasured({ cells }: BenchResult): string | undefined {
  const at = cells.findIndex((cell) => cell.status === 'ok' && (cell.ms === undefined || cell.error === undefined));
  return at < 0 ? undefined : `cells[${at}] has no ms or no error`;
}

/** Of a value: a type, one of some words, or what every element or field is; a name with `?` may be absent. */
type Form = 'string' | 'number' | { readonly words: readonly string[] } | readonly [Form] | Fields;
type Fields = { readonly [name: string]: Form };

const form: Fields = {
  schema: { words: ['performers.bench/1'] },
  title: 'string',
  date: 'string',
  machine: { what: 'string', cores: 'number', versions: {}, 'commit?': 'string' },
  shape: { name: 'string' },
  settings: { lengths: ['number'], repeats: 'number', limitMs: 'number', seed: 'number' },
  methods: [{ name: 'string', kind: 'string', form: 'string', what: 'string' }],
  backends: [{ name: 'string', what: 'string', threads: 'number', memory: 'string', 'adapter?': {}, 'roofline?': {} }],
  cells: [
    {
      ...{ backend: 'string', method: 'string', n: 'number', status: { words: ['ok', 'failed', 'limit'] } },
      ...{ 'reason?': 'string', 'error?': 'number', 'peakBytes?': 'number', 'quantisationError?': 'number' },
      'ms?': { median: 'number', p20: 'number', p80: 'number' },
    },
  ],
  summary: [{ backend: 'string', method: 'string' }],
};

/** Where a value has not this form, and what it should be. */
function fault(value: unknown, wanted: Form, at: string): string | undefined {
  if (typeof wanted === 'string') return typeof value === wanted ? undefined : `${at} is no ${wanted}`;
  if (Array.isArray(wanted)) {
    if (!Array.isArray(value)) return `${at} is no list`;
    return first(value.map((one, i) => () => fault(one, wanted[0], `${at}[${i}]`)));
  }
  if ('words' in wanted && Array.isArray(wanted.words))
    return wanted.words.includes(value) ? undefined : `${at} is not ${wanted.words.join(' or ')}`;
  if (typeof value !== 'object' || value === null) return `${at} is no object`;
  return first(
    Object.entries(wanted).map(([key, form]) => () => {
      const name = key.replace('?', '');
      const own: unknown = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
      if (own === undefined && name !== key) return undefined;
      return fault(own, form, at === 'the file' ? name : `${at}.${name}`);
    }),
  );
}

function first(checks: readonly (() => string | undefined)[]): string | undefined {
  for (const check of checks) {
    const wrong = check();
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

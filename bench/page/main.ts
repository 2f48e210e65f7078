/** The bench page: settings, progress, and the result as it grows. */

import { byId, download } from '../../demo/page/dom.js';
import type { MethodName } from '../../src/bench/methods.js';
import { methodNames, methods } from '../../src/bench/methods.js';
import { readResult } from '../../src/bench/read-result.js';
import type { BenchResult } from '../../src/bench/result.js';
import { type BenchBackend, type BenchProgress, runBench } from '../../src/bench/run.js';
import { type ShapeName, shapeNames, shapes } from '../../src/bench/shape.js';
import { html } from '../../src/cli/html.js';
import { describeBrowser, findBackends } from './backends.js';
import { renderResult } from './result.js';
import { startWorker } from './worker-lane.js';

const [form, shape, longest, limit] = [
  byId('settings', HTMLFormElement),
  byId('shape', HTMLSelectElement),
  byId('longest', HTMLSelectElement),
  byId('limit', HTMLSelectElement),
];
const [start, cancel] = [byId('start', HTMLButtonElement), byId('cancel', HTMLButtonElement)];
const [bar, status, view] = [
  byId('bar', HTMLProgressElement),
  byId('status', HTMLElement),
  byId('result', HTMLElement),
];

const lengths = Array.from({ length: 10 }, (_, i) => 128 * 2 ** i);
shape.innerHTML = html`${shapeNames.map((name) => html`<option value="${name}">${shapes[name].what}</option>`)}`.text;
longest.innerHTML =
  html`${lengths.map((n) => html`<option value="${n}">${n.toLocaleString('en')} tokens</option>`)}`.text;
longest.value = '65536';
byId('methods', HTMLElement).insertAdjacentHTML(
  'beforeend',
  html`${methodNames.map((name) => html`<label title="${methods[name].what}"><input type="checkbox" name="method" value="${name}" checked> ${name}</label>`)}`
    .text,
);

const backends = await findBackends();
const places = byId('backends', HTMLElement);
places.querySelector('span')?.remove();
places.insertAdjacentHTML(
  'beforeend',
  html`${backends.map(
    ({ name, what, threads, adapter }) =>
      html`<label title="${what}"><input type="checkbox" name="backend" value="${name}" ${adapter?.software ? '' : 'checked'}> ${name}${
        adapter
          ? html` <small>${adapter.description || adapter.vendor}${adapter.software && ', software'}</small>`
          : html` <small>${threads === 1 ? '1 thread' : `${threads} threads`}</small>`
      }</label>`,
  )}`.text,
);
shape.addEventListener('change', offerMethods);
offerMethods();
start.disabled = false;

let run: AbortController | undefined;
cancel.addEventListener('click', () => run?.abort());
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!run) void measure();
});

byId('saved', HTMLInputElement).addEventListener('change', async ({ target }) => {
  const file = target instanceof HTMLInputElement ? target.files?.[0] : undefined;
  if (!file || run) return;
  try {
    present(readResult(await file.text(), file.name));
    status.textContent = `${file.name} is below.`;
  } catch (error) {
    status.textContent = error instanceof Error ? error.message : String(error);
  }
});

/** Those that take the chosen layer; the choice of others is kept for when one of theirs is chosen again. */
function offerMethods(): void {
  for (const box of form.querySelectorAll<HTMLInputElement>('input[name=method]')) {
    const { takes, what } = methods[box.value as MethodName];
    box.disabled = !takes(shapes[shape.value as ShapeName]);
    const label = box.closest('label');
    label?.classList.toggle('soft', box.disabled);
    label?.setAttribute('title', box.disabled ? `${what}; not of such layers` : what);
  }
}

function chosen(name: string): string[] {
  return [...form.querySelectorAll<HTMLInputElement>(`input[name="${name}"]:checked:enabled`)].map(
    ({ value }) => value,
  );
}

async function measure(): Promise<void> {
  const names = chosen('backend');
  const where: BenchBackend[] = backends.filter(({ name }) => names.includes(name));
  const what = methodNames.filter((name) => chosen('method').includes(name)) as MethodName[];
  if (where.length === 0 || what.length === 0) {
    status.textContent = `Choose at least one ${where.length === 0 ? 'place' : 'method'} to measure.`;
    return;
  }
  run = new AbortController();
  [start.disabled, cancel.disabled] = [true, false];
  status.textContent = 'starting';
  try {
    const options = {
      shape: shape.value as ShapeName,
      lengths: lengths.filter((n) => n <= Number(longest.value)),
      repeats: 9,
      limitMs: Number(limit.value),
      seed: 1,
      methods: what,
      backends: where,
      machine: describeBrowser(),
      signal: run.signal,
      onProgress: show,
    };
    const result = await runBench(options, startWorker);
    status.textContent = run.signal.aborted ? 'Cancelled: what was measured until then is below.' : 'Done.';
    show({ done: 1, total: 1, what: '', cells: result.cells });
    present(result);
  } catch (error) {
    status.textContent = error instanceof Error ? error.message : String(error);
  } finally {
    run = undefined;
    [start.disabled, cancel.disabled] = [false, true];
  }
}

function show({ done, total, what }: BenchProgress): void {
  [bar.max, bar.value] = [total, done];
  if (what) status.textContent = what;
}

function present(result: BenchResult): void {
  renderResult(view, result);
  const text = `${JSON.stringify(result, null, 1)}\n`;
  const said = byId('said', HTMLElement);
  byId('copy', HTMLButtonElement).addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = 'Copied.';
    } catch {
      said.textContent = 'This browser does not let the page copy: download it instead.';
    }
  });
  byId('download', HTMLButtonElement).addEventListener('click', () => {
    download(`performers-bench-${result.shape.name}.json`, text);
    said.textContent = 'Saved as a file.';
  });
  byId('json', HTMLElement).textContent = text;
}

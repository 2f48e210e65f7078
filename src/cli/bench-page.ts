import {
  busyText,
  growthOf,
  panelOf,
  plotNote,
  type QuantityName,
  quantities,
  rooflineText,
  tableOf,
} from '../bench/report.js';
import type { BackendResult, BenchResult } from '../bench/result.js';
import { figure } from '../node/feature-plots.js';
import { type Html, html, Html as Markup } from './html.js';
import { renderPage, renderTable } from './page.js';

/** A result as a page of one file: figures, every number, and what it was measured on. */
export function renderBenchPage(result: BenchResult): string {
  const { machine, settings, date } = result;
  const busy = busyText(machine);
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return renderPage(result.title, [
    html`<p class="note">${date.slice(0, 16).replace('T', ' ')} UTC. ${machine.what}, ${machine.cores} processors${
      machine.load !== undefined && html`, load ${machine.load} before the run`
    }. ${versions.join(', ')}${machine.commit && html`, commit ${machine.commit}`}. Inputs N(0, 1), seed ${settings.seed}; at most ${settings.repeats} runs
and ${settings.limitMs / 1000} s a length. Errors are of 8 queries of all heads, against float64, on random inputs: attention spread over everything, as no trained model's is.</p>`,
    html`${busy && html`<p><b>${busy}</b></p>`}`,
    ...result.backends.map((backend) => section(result, backend)),
    renderTable(
      ['method', 'kind', 'what it computes'],
      result.methods.map(({ name, kind, what }) => [name, kind, what]),
      'Methods',
    ),
  ]);
}

function section(result: BenchResult, backend: BackendResult): Html {
  const panels = (['time', 'memory', 'error'] as const).flatMap((name) => panelOf(result, backend, name) ?? []);
  const growth = growthOf(result, backend);
  return html`<h2>${backend.name}</h2>
<p>${backend.what}, ${backend.threads === 1 ? '1 thread' : `${backend.threads} threads`}; ${rooflineText(backend)}. Memory: ${backend.memory}.</p>
${panels.map((panel) => new Markup(figure([panel])))}
<p class="note">${plotNote}</p>
${renderTable(growth.head, growth.rows, 'Growth of time with N, and N* from where on it is faster than every exact method')}
${(Object.keys(quantities) as QuantityName[]).map((name) => {
  const found = tableOf(result, backend, name);
  const { title, unit } = quantities[name];
  return found && renderTable(found.head, found.rows, unit ? `${title}, ${unit}` : title);
})}`;
}

import {
  busyText,
  growthOf,
  panelOf,
  plotNote,
  type QuantityName,
  quantities,
  rooflineText,
  tableOf,
} from '../../src/bench/report.js';
import type { BackendResult, BenchResult } from '../../src/bench/result.js';
import { type Html, html } from '../../src/cli/html.js';
import { drawPanel } from '../../src/plots/panel.js';

/** Fills the section of the result: figures, tables, and what it was measured on. */
export function renderResult(view: HTMLElement, result: BenchResult): void {
  const busy = busyText(result.machine);
  view.innerHTML = html`<h2>${result.title}</h2>
${busy && html`<p><span class="badge close">busy machine</span> ${busy}</p>`}
<p class="actions"><button type="button" id="copy">Copy result</button><button type="button" id="download">Download JSON</button> <span id="said" role="status"></span></p>
${result.backends.map((backend) => section(result, backend))}
<details><summary>Methods</summary>${tableHtml(
    ['method', 'kind', 'what it computes'],
    result.methods.map(({ name, kind, what }) => [name, kind, what]),
    'what every method is',
    'figures growth',
  )}</details>
<details><summary>The result as JSON</summary><pre id="json" tabindex="0"></pre></details>
<p class="soft">${result.machine.what}; ${result.machine.cores} processors; ${Object.entries(result.machine.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}${result.machine.commit && html`, commit ${result.machine.commit}`}.</p>`.text;
  const names = result.methods.map(({ name }) => name as string);
  for (const backend of result.backends) {
    const place = [...view.querySelectorAll<HTMLElement>('[data-plots]')].find(
      ({ dataset }) => dataset.plots === backend.name,
    );
    for (const name of ['time', 'memory', 'error'] as const) {
      const panel = panelOf(result, backend, name);
      if (!panel) continue;
      const canvas = {
        document,
        background: 'none',
        ink: 'currentColor',
        colour: (i: number) => `var(--curve-${i % 12})`,
      };
      place?.append(drawPanel(panel, (method) => names.indexOf(method), canvas));
    }
  }
}

function section(result: BenchResult, backend: BackendResult): Html {
  const growth = growthOf(result, backend);
  return html`<section><h3>${backend.name} <span>${backend.what}${backend.adapter ? '' : `, ${backend.threads === 1 ? '1 thread' : `${backend.threads} threads`}`}</span></h3>
${backend.adapter?.software && html`<p><span class="badge close">software adapter</span> ${backend.adapter.description}: computed on the processor, so nothing about speed on a GPU follows.</p>`}
<p class="soft">${rooflineText(backend)}. Memory: ${backend.memory}.</p>
<div class="plots" data-plots="${backend.name}"></div>
<p class="soft">${plotNote}</p>
${tableHtml(growth.head, growth.rows, 'growth of time with N; N* is from where on it is faster than every exact method', 'figures growth')}
${(Object.keys(quantities) as QuantityName[]).map((name) => {
  const found = tableOf(result, backend, name);
  const { title, unit } = quantities[name];
  return found && tableHtml(found.head, found.rows, unit ? `${title}, ${unit}` : title);
})}</section>`;
}

function tableHtml(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  caption: string,
  kind = 'figures',
): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table class="${kind}"><caption>${caption}</caption>
<thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>${rows.map(([first = '', ...rest]) => html`<tr><th scope="row">${first}</th>${rest.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table></div>`;
}

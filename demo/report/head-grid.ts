import { type Html, html } from '../../src/cli/html.js';
import type { Row } from '../row.js';
import { errorColours } from './colours.js';

/** Relative output error of every head, a table of layers by heads. */
export function headGrid(row: Row): Html {
  const layers = row.heads ?? [];
  const heads = Math.max(0, ...layers.map((layer) => layer.length));
  return html`<div class="scroll"><table class="grid">
<caption>${row.plan.label}<span>median ${short(median(layers.flat()))}</span></caption>
<thead><tr><th scope="col"><abbr title="layer">L</abbr></th>${Array.from({ length: heads }, (_, head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${layers.map(
    (layer, index) =>
      html`<tr><th scope="row">${index}</th>${layer.map((error) => {
        const { back, text } = errorColours(error);
        return html`<td style="background:${back};color:${text}">${short(error)}</td>`;
      })}</tr>`,
  )}</tbody></table></div>`;
}

/** '.03', '1.2', '0': two significant digits at the most. */
function short(error: number): string {
  if (!Number.isFinite(error)) return '∞';
  if (error < 0.0005) return '0';
  return error < 0.995 ? error.toFixed(error < 0.01 ? 3 : 2).slice(1) : error.toFixed(1);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

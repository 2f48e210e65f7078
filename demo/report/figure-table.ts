import { type Html, html } from '../../src/cli/html.js';
import { count, likeness, memory, percent, ratio, time } from '../format.js';
import type { Row } from '../row.js';
import { badge } from './badge.js';

/** Every row of the run as a table that screen readers can walk. */
export function figureTable(rows: readonly Row[]): Html {
  const sizes = [...new Set(rows.map(({ px }) => px))];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="All figures"><table class="figures">
<caption>Time is the median of up to three calls of the pipeline, of one where it takes longer than two seconds; memory the peak of a process of its own.</caption>
<thead><tr><th scope="col">plan</th><th scope="col">time</th><th scope="col">of original</th><th scope="col">peak MB</th><th scope="col">map correlation</th><th scope="col">map error</th><th scope="col">token cosine</th><th scope="col">verdict</th></tr></thead>
${sizes.map((px) => {
  const group = rows.filter((row) => row.px === px);
  const tokens = group.find(({ figures }) => figures?.tokens)?.figures?.tokens;
  return html`<tbody><tr><th scope="rowgroup" colspan="8">${px} px${tokens && html`, ${count(tokens)} tokens`}</th></tr>
${group.map(figureRow)}</tbody>`;
})}</table></div>`;
}

function figureRow({ plan, verdict, reason, figures }: Row): Html {
  return html`<tr><th scope="row">${plan.label}</th><td>${time(figures?.ms)}</td><td>${plan.options ? ratio(figures?.timeRatio) : ''}</td><td>${memory(figures?.peakMB)}</td>
<td>${plan.options ? likeness(figures?.correlation) : ''}</td><td>${plan.options ? percent(figures?.error) : ''}</td><td>${plan.options ? likeness(figures?.tokenCosine) : ''}</td>
<td>${badge(verdict)}${reason && html` <small>${reason}</small>`}</td></tr>
`;
}

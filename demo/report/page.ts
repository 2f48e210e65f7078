import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Html, html, Html as Markup } from '../../src/cli/html.js';
import { type Conclusion, conclusions } from '../conclusions.js';
import { count, likeness, memory, percent, time } from '../format.js';
import { type DemoPlan, original } from '../plans.js';
import { disturbance, type Row } from '../row.js';
import { badge } from './badge.js';
import { planColour } from './colours.js';
import { figureTable } from './figure-table.js';
import { headGrid } from './head-grid.js';
import type { Picture } from './pictures.js';
import { plotAgainstTokens } from './plots.js';
import { provenance } from './provenance.js';
import type { Findings } from './report.js';

export interface Page extends Findings {
  readonly photo: Picture;
  readonly maps: ReadonlyMap<Row, Picture>;
  readonly date: Date;
}

/** The whole page: one file, nothing fetched. */
export function renderPage(page: Page): string {
  const { rows, model } = page;
  const plans = [...new Set(rows.map(({ plan }) => plan))];
  const found = conclusions(rows);
  const disturbed = disturbance(rows);
  const style = ['theme', 'tables', 'layout'].map((name) =>
    readFileSync(new URL(`./${name}.css`, import.meta.url), 'utf8'),
  );
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${model}: other attention, and what it costs</title>
<link rel="icon" href="data:,">
<style>${new Markup(style.join(''))}</style>
</head>
<body>
<main>
${intro(page, plans)}
<section id="short"><h2>In short</h2><ul class="cards">${found.map((one) => card(one, plans))}</ul>${disturbed && html`<p class="remark">${disturbed[0]?.toUpperCase()}${disturbed.slice(1)}.</p>`}</section>
${mapSections(page)}
${plots(rows, plans)}
${heads(rows, plans)}
<section id="figures"><h2>All figures</h2>${figureTable(rows)}</section>
${provenance(page)}
</main>
</body>
</html>
`.text;
}

function intro({ model, image, sites, runtime, rows }: Page, plans: readonly DemoPlan[]): Html {
  const sizes = [...new Set(rows.map(({ px }) => px))];
  const largest = Math.max(0, ...rows.map(({ figures }) => figures?.tokens ?? 0));
  return html`<header>
<p class="eyebrow">performers.js</p>
<h1>One vision transformer, its attention replaced</h1>
<p class="lead">Attention compares every token with every other, so its cost grows with the square of their number.
Below, <strong>${model}</strong> looks at <strong>${basename(image)}</strong> at ${sizes.join(', ')} px${
    largest > 0 &&
    html`,
up to ${count(largest)} tokens`
  }: as it was published, and with its ${sites} attention layers rewritten in the ONNX file by
each of ${plans.length - 1} plans. No weight was changed and nothing was trained. Every map is the answer of the same
transformers.js pipeline, run with ${runtime === 'wasm' ? 'onnxruntime in WebAssembly as a browser would, on' : 'native onnxruntime on'} one thread.</p>
<dl class="plans">${plans.map(
    (plan, i) =>
      html`<div><dt style="--plan:${planColour(i)}">${plan.label}</dt><dd>${plan.what}${
        plan.options &&
        html`
<code>${plan.text}</code>`
      }</dd></div>`,
  )}</dl>
</header>`;
}

function card({ plan, verdict, row: { px, figures } }: Conclusion, plans: readonly DemoPlan[]): Html {
  return html`<li style="--plan:${planColour(plans.indexOf(plan))}">
<h3>${plan.label}</h3>${badge(verdict)}
<dl>
<div><dt>time</dt><dd>${comparison(figures?.timeRatio, 'faster', 'slower')}</dd></div>
<div><dt>memory</dt><dd>${comparison(figures?.memoryRatio, 'less', 'more')}</dd></div>
<div><dt>map error</dt><dd>${percent(figures?.error)}</dd></div>
<div><dt>correlation</dt><dd>${likeness(figures?.correlation)}</dd></div>
</dl>
<p>at ${px} px${figures?.tokens && html`, ${count(figures.tokens)} tokens`}, against the original there. The verdict is the worst of all sizes.</p>
</li>`;
}

/** '2.6 × faster', '1.2 × more', or 'as much' within 5 %. */
function comparison(ratio: number | undefined, less: string, more: string): string {
  if (ratio === undefined) return '–';
  if (Math.abs(ratio - 1) <= 0.05) return 'the same';
  return ratio < 1 ? `${(1 / ratio).toFixed(1)} × ${less}` : `${ratio.toFixed(1)} × ${more}`;
}

function mapSections({ rows, photo, maps, image }: Page): Html {
  const sizes = [...new Set(rows.map(({ px }) => px))];
  return html`<section id="maps"><h2>What it sees</h2>
<p>The model marks what stands out in the photo: black is nothing, bright is what draws the eye. All maps of one size share one scale of colour.
The number of tokens is that of 14 px patches, and one more.</p>
${sizes.map((px) => {
  const group = rows.filter((row) => row.px === px);
  if (group.every(({ verdict }) => verdict === 'skipped'))
    return html`<h3>${px} px</h3><p>left out: ${group[0]?.reason}</p>`;
  const tokens = group.find(({ figures }) => figures?.tokens)?.figures?.tokens;
  return html`<h3>${px} px${tokens && html` <span>${count(tokens)} tokens</span>`}</h3>
<div class="maps">
<figure><img src="${photo.src}" width="${photo.width}" height="${photo.height}" alt="The photo, ${basename(image)}"><figcaption><strong>photo</strong></figcaption></figure>
${group.map((row) => mapFigure(row, maps.get(row)))}</div>`;
})}
</section>`;
}

function mapFigure({ px, plan, verdict, reason, figures }: Row, picture: Picture | undefined): Html {
  return html`<figure>
${
  picture
    ? html`<img src="${picture.src}" width="${picture.width}" height="${picture.height}" loading="lazy" alt="Map of ${plan.label} at ${px} px: ${verdict}">`
    : html`<div class="missing">${reason ?? 'no map'}</div>`
}
<figcaption><strong>${plan.label}</strong> ${badge(verdict)}${
    figures &&
    html`<dl class="measures">
${plan.options && html`<div><dt>correlation</dt><dd>${likeness(figures.correlation)}</dd></div><div><dt>error</dt><dd>${percent(figures.error)}</dd></div>`}
<div><dt>time</dt><dd>${time(figures.ms)}</dd></div><div><dt>memory</dt><dd>${memory(figures.peakMB)} MB</dd></div>
</dl>`
  }</figcaption>
</figure>`;
}

function plots(rows: readonly Row[], plans: readonly DemoPlan[]): Html {
  const shown = rows.filter(({ figures }) => figures);
  if (new Set(shown.map(({ px }) => px)).size < 2) return html``;
  const timePlot = plotAgainstTokens({
    rows: shown,
    plans,
    value: ({ ms }) => ms / 1000,
    title: 'Time of one image against the number of tokens',
    unit: 'seconds',
    description: 'Both axes are logarithmic; the figures are in the table below.',
  });
  const memoryPlot = plotAgainstTokens({
    rows: shown,
    plans,
    value: ({ peakMB }) => peakMB,
    title: 'Peak memory of the process against the number of tokens',
    unit: 'MB',
    description: 'Both axes are logarithmic; the figures are in the table below.',
  });
  return html`<section id="growth"><h2>Time and memory as the image grows</h2>
<p>Logarithmic on both axes: a straight line is a power of the number of tokens, and the steeper it is the worse. The whole
process is measured: the runtime and the model are the floor that no attention goes below.</p>
<div class="plots">
<figure>${timePlot}<figcaption>Time of one image, photo to map</figcaption></figure>
<figure>${memoryPlot}<figcaption>Peak memory of the process</figcaption></figure>
</div></section>`;
}

function heads(rows: readonly Row[], plans: readonly DemoPlan[]): Html {
  const shown = rows.filter(({ heads }) => heads?.length);
  const [first] = shown;
  if (!first) return html``;
  return html`<section id="heads"><h2>Where it goes wrong</h2>
<p>The relative error of what each attention head hands on, at ${first.px} px: 0 is exact, 1 as wrong as handing on nothing.
Rows are layers, columns heads. A layer starts from what the layers above it in the table made of the image, so that errors add up downwards.</p>
<div class="grids">${shown.filter(({ plan }) => plan !== original && plans.includes(plan)).map(headGrid)}</div></section>`;
}

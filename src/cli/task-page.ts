/** What `verify --task` measured, as a page: figures with their intervals, every input as a dot, transcripts side by side. */
import * as Plot from '@observablehq/plot';
import type { TaskResult } from '../node/task-files.js';
import type { Figure } from '../tasks/figures.js';
import { drawGeneration } from './generation-picture.js';
import { Html, html } from './html.js';
import { renderPage, renderTable } from './page.js';
import { draw, width } from './plan-picture.js';
import { tablesOf, warningsOf } from './task-tables.js';

export function renderTaskPage(result: TaskResult, model: string): string {
  const { task, what, figures, transcripts, generation } = result;
  return renderPage(`${model}: ${task}`, [
    html`<p>The patched model against the original, on ${what} that calibration has not seen. Intervals: 95 %, from resampling the inputs.</p>`,
    html`${warningsOf(result).map((warning) => html`<p><strong>${warning}</strong></p>`)}`,
    html`${tablesOf(result).map(({ caption, head, rows }) => renderTable(head, rows, caption))}`,
    html`${generation && new Html(drawGeneration(generation))}`,
    html`${figures.filter(({ values }) => new Set(values).size > 2).map((figure) => new Html(drawFigure(figure)))}`,
    html`${
      generation &&
      html`<h2>Texts</h2>${renderTable(
        ['after so many tokens', '… which end with', 'original', 'patched', 'alike'],
        generation.texts.map((text) => [
          String(text.prompt),
          text.after,
          text.original,
          text.patched,
          `${text.alike} tokens`,
        ]),
        'What both models go on with',
      )}`
    }`,
    html`${
      transcripts &&
      html`<h2>Transcripts</h2>${renderTable(
        ['recording', 'said', 'original', 'patched'],
        transcripts.map(({ file, reference = '', original, patched }) => [file, reference, original, patched]),
        'What both models heard',
      )}`
    }`,
  ]);
}

/** Every input as a dot, the mean and its interval above them. */
function drawFigure({ name, value, interval = [value, value], values = [] }: Figure): string {
  return draw({
    height: 150,
    marginTop: 44,
    marginBottom: 36,
    marginLeft: 24,
    ariaLabel: name,
    ariaDescription: `mean ${value.toFixed(4)} over ${values.length} inputs`,
    x: { label: null, nice: true, grid: true, ticks: 6 },
    y: { axis: null, domain: [-1, 1.2] },
    marks: [
      Plot.dot(values, {
        x: (x: number) => x,
        // A fixed spread that keeps equal values apart; it means nothing.
        y: (_: number, i: number) => -0.5 + 0.4 * Math.sin(12.9898 * i),
        r: 2.5,
        fill: '#2b6cb0',
        fillOpacity: 0.5,
      }),
      Plot.ruleY([interval], {
        x1: ([low]: readonly number[]) => low,
        x2: ([, high]: readonly number[]) => high,
        y: 0.6,
        stroke: '#b2182b',
        strokeWidth: 3,
      }),
      Plot.dot([value], { x: (x: number) => x, y: 0.6, r: 5, fill: '#b2182b' }),
      Plot.text([name], { frameAnchor: 'top-left', dy: -36, fontSize: 13, fontWeight: 'bold' }),
    ],
    width,
  });
}

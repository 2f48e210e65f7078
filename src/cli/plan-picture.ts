/** What calibration chose, as one SVG: the plan of every head, and the curve of costs and errors it was chosen from. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { PlanFileContent } from '../node/calibrate-file.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { fallback, readPlan } from '../rewrite/plan.js';

interface Cell {
  readonly layer: number;
  readonly head: number;
  readonly cost: number;
  readonly exact: boolean;
  readonly plan: string;
}

export const width = 640;
const style = { background: 'white', color: '#222', fontFamily: 'system-ui, sans-serif', fontSize: '12px' };

export function drawPlan(content: PlanFileContent): string {
  const map = drawMap(content);
  const curve = drawCurve(content);
  const heights = [map, curve].map((svg) => Number(/height="(\d+)"/.exec(svg)?.[1]));
  const [first = 0, second = 0] = heights;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${first + second}" viewBox="0 0 ${width} ${first + second}">`,
    map,
    curve.replace('<svg ', `<svg y="${first}" `),
    '</svg>\n',
  ].join('\n');
}

/** Rows are layers, columns heads. */
export function drawMap({ sites }: PlanFileContent): string {
  const cells = sites.flatMap(({ layer, plans }) =>
    plans.flatMap(({ heads, plan }) => {
      const read = readPlan(plan);
      const exact = read.name === fallback;
      const cost = exact ? 0 : lowerings[read.name].keyEquivalents(read.options, 0);
      return heads.map((head): Cell => ({ layer, head, cost, exact, plan }));
    }),
  );
  const layers = 1 + Math.max(...cells.map(({ layer }) => layer));
  const linear = cells.filter(({ exact }) => !exact);
  return draw({
    height: 84 + 22 * layers,
    marginTop: 58,
    marginBottom: 6,
    padding: 0.06,
    ariaLabel: 'Plan of every head',
    x: { axis: 'top', label: null },
    y: { label: null },
    color: { type: 'linear', scheme: 'YlGnBu', domain: [0, Math.max(1, ...linear.map(({ cost }) => cost))] },
    marks: [
      Plot.cell(linear, { x: 'head', y: 'layer', fill: 'cost' }),
      Plot.cell(
        cells.filter(({ exact }) => exact),
        { x: 'head', y: 'layer', fill: '#b2182b' },
      ),
      Plot.text(cells, {
        x: 'head',
        y: 'layer',
        text: ({ exact, cost }: Cell) => (exact ? 'exact' : cost.toFixed(0)),
        fill: ({ exact, cost }: Cell) =>
          exact || cost > 0.55 * Math.max(...linear.map((cell) => cell.cost)) ? 'white' : '#222',
        fontSize: cells.some(({ head }) => head > 13) ? 8 : 11,
      }),
      Plot.text(['Key equivalents of every head (rows: layers, columns: heads)'], {
        frameAnchor: 'top-left',
        dy: -52,
        fontSize: 13,
        fontWeight: 'bold',
      }),
    ],
  });
}

export function drawCurve({ calibration }: PlanFileContent): string {
  const { curve, cost, error } = calibration;
  return draw({
    height: 300,
    marginTop: 40,
    marginLeft: 56,
    marginBottom: 44,
    ariaLabel: 'Cost and predicted error',
    x: { label: 'key equivalents a head →', grid: true },
    y: { label: null, grid: true, tickFormat: '%', zero: true },
    marks: [
      Plot.line(curve, { x: 'cost', y: 'error', stroke: '#2b6cb0', strokeWidth: 2 }),
      Plot.dot(curve, { x: 'cost', y: 'error', fill: '#2b6cb0', r: 2 }),
      Plot.dot([{ cost, error: error.predicted }], {
        x: 'cost',
        y: 'error',
        stroke: '#b2182b',
        strokeWidth: 2.5,
        r: 6,
      }),
      Plot.text([{ cost, error: error.predicted }], {
        x: 'cost',
        y: 'error',
        text: () => 'chosen',
        dx: 10,
        dy: -8,
        textAnchor: 'start',
        fill: '#b2182b',
        fontWeight: 'bold',
      }),
      Plot.text(['Predicted relative error of the output against cost'], {
        frameAnchor: 'top-left',
        dy: -32,
        fontSize: 13,
        fontWeight: 'bold',
      }),
    ],
  });
}

/** A plot as SVG that stands by itself. */
export function draw(options: Plot.PlotOptions): string {
  const { document } = parseHTML('<html><body></body></html>');
  const svg = Plot.plot({ document, width, style, ...options });
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return svg.outerHTML;
}

import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { Html } from '../../src/cli/html.js';
import type { DemoPlan } from '../plans.js';
import type { Figures, Row } from '../row.js';
import { planColour } from './colours.js';

interface Point {
  readonly tokens: number;
  readonly value: number;
  readonly plan: number;
}

export interface PlotOptions {
  readonly rows: readonly Row[];
  readonly plans: readonly DemoPlan[];
  readonly value: (figures: Figures) => number;
  readonly title: string;
  readonly unit: string;
  readonly description: string;
}

const size = { width: 400, height: 320, top: 24, bottom: 44, left: 48 };
/** Of a bold letter of the labels, about. */
const letter = 7.4;
const lineHeight = 15;

/** One value against the number of tokens, both axes logarithmic, each line labelled at its end. */
export function plotAgainstTokens({ rows, plans, value, title, unit, description }: PlotOptions): Html {
  const points = rows.flatMap(({ plan, figures, px }): Point[] => {
    const tokens = figures?.tokens ?? px ** 2;
    return figures ? [{ tokens, value: value(figures), plan: plans.indexOf(plan) }] : [];
  });
  if (points.length === 0) return new Html('');
  const { document } = parseHTML('<html><body></body></html>');
  const tokens = [...new Set(points.map((point) => point.tokens))].sort((a, b) => a - b);
  const last = tokens.at(-1) ?? 1;
  const ticks = logTicks(points.map((point) => point.value));
  const y = { least: ticks[0] ?? 1, most: ticks.at(-1) ?? 10 };
  const ends = plans.flatMap((_, plan) => points.filter((point) => point.plan === plan).at(-1) ?? []);
  const svg = Plot.plot({
    document,
    width: size.width,
    height: size.height,
    marginTop: size.top,
    marginRight: 14 + letter * Math.max(...plans.map(({ label }) => label.length)),
    marginBottom: size.bottom,
    marginLeft: size.left,
    ariaLabel: title,
    ariaDescription: description,
    style: { fontSize: '12px', background: 'none', overflow: 'visible' },
    x: { type: 'log', label: 'tokens', ticks: tokens, tickFormat: (n: number) => n.toLocaleString('en'), inset: 8 },
    y: {
      type: 'log',
      label: unit,
      domain: [y.least, y.most],
      ticks,
      tickFormat: (n: number) => n.toLocaleString('en'),
      grid: true,
    },
    marks: [
      ...plans.flatMap((_, plan) => {
        const own = points.filter((point) => point.plan === plan);
        const stroke = planColour(plan);
        const dash = plan === 0 ? undefined : dashes[(plan - 1) % dashes.length];
        return [
          Plot.line(own, {
            x: 'tokens',
            y: 'value',
            stroke,
            strokeWidth: 2.25,
            ...(dash && { strokeDasharray: dash }),
          }),
          Plot.dot(own, { x: 'tokens', y: 'value', fill: stroke, r: 3.5 }),
        ];
      }),
      ...spread(ends, y).flatMap(({ point, dy }) => [
        Plot.link(point.tokens < last ? [point] : [], {
          x1: 'tokens',
          x2: () => last,
          y: 'value',
          stroke: planColour(point.plan),
          strokeOpacity: 0.5,
          strokeDasharray: '1 3',
        }),
        Plot.text([point], {
          x: () => last,
          y: 'value',
          text: () => plans[point.plan]?.label ?? '',
          fill: planColour(point.plan),
          textAnchor: 'start',
          dx: 9,
          dy,
          fontWeight: 600,
        }),
      ]),
    ],
  });
  return new Html(svg.outerHTML);
}

const dashes = [undefined, '6 3', '2 3', '8 3 2 3', '4 2', '1 3'];

/** Ticks at 1, 2 and 5 times powers of ten that enclose the values. */
function logTicks(values: readonly number[]): number[] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const candidates = Array.from({ length: 36 }, (_, i) => [1, 2, 5][i % 3] * 10 ** (Math.floor(i / 3) - 4));
  return candidates.filter((tick, i) => (candidates[i + 1] ?? tick) > least && (candidates[i - 1] ?? tick) < most);
}

/** Labels at their lines' ends, pushed apart where they would overlap. */
function spread(ends: readonly Point[], { least, most }: { least: number; most: number }) {
  const height = size.height - size.top - size.bottom;
  const pixel = (value: number) => height * (1 - Math.log(value / least) / Math.log(most / least));
  const labels = ends.map((point) => ({ point, at: pixel(point.value) })).sort((a, b) => a.at - b.at);
  const placed: { point: Point; at: number; to: number }[] = [];
  for (const label of labels)
    placed.push({ ...label, to: Math.max(label.at, (placed.at(-1)?.to ?? -1e9) + lineHeight) });
  // Downwards only would leave the last ones far from their lines: half of the way back up.
  const drift = placed.reduce((sum, { at, to }) => sum + to - at, 0) / Math.max(placed.length, 1);
  const shift = Math.min(drift, placed[0] ? placed[0].at + lineHeight / 2 : 0);
  return placed.map(({ point, at, to }) => ({ point, dy: to - shift - at }));
}

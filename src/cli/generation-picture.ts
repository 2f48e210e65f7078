/** What `verify --task generation` measured by length and position, as plots: both models in every one. */
import * as Plot from '@observablehq/plot';
import type { TaskResult } from '../node/task-files.js';
import type { Both, LengthRow } from '../tasks/generation.js';
import { draw } from './plan-picture.js';

type Generation = NonNullable<TaskResult['generation']>;

const colours = { original: '#2b6cb0', patched: '#b2182b' };
const boundedColour = '#7a7a7a';

export function drawGeneration({ lengths, positions, baseline }: Generation): string {
  const plots = [drawPositions(positions, baseline?.positions)];
  if (lengths.length > 1) {
    plots.push(
      drawByLength('Milliseconds a token', lengths, (row) => row.msPerToken),
      drawByLength('Prompt tokens a second', lengths, (row) => row.promptTokensPerSecond),
    );
    // Models without a cache have nothing between calls.
    const MB = ({ bytes }: LengthRow) => ({ original: bytes.original / 1e6, patched: bytes.patched / 1e6 });
    if (lengths.some(({ bytes }) => bytes.original > 0)) plots.push(drawByLength('MB between calls', lengths, MB));
  }
  return plots.join('\n');
}

type Buckets = Generation['positions'];

/** Change of the loss in every bucket, with its interval; in grey beside it that of a bounded cache. */
function drawPositions(positions: Buckets, bounded: Buckets = []): string {
  const places = (buckets: Buckets) =>
    buckets.map(({ from, to, change: { value, interval = [value, value] } }) => ({
      at: `${from}–${to}`,
      value,
      low: interval[0],
      high: interval[1],
    }));
  const marks = (buckets: Buckets, colour: string, dx: number) => [
    Plot.ruleX(places(buckets), { x: 'at', y1: 'low', y2: 'high', stroke: colour, strokeWidth: 3, dx }),
    Plot.dot(places(buckets), { x: 'at', y: 'value', r: 5, fill: colour, dx }),
  ];
  const what = 'Change of the loss, nats a token';
  return draw({
    height: 220,
    marginTop: 44,
    marginLeft: 56,
    marginBottom: 40,
    ariaLabel: 'Change of the loss by tokens before',
    x: { label: 'tokens before →', domain: places(positions).map(({ at }) => at) },
    y: { label: null, grid: true, nice: true },
    marks: [
      Plot.ruleY([0], { stroke: '#888' }),
      ...marks(bounded, boundedColour, 8),
      ...marks(positions, colours.patched, bounded.length > 0 ? -8 : 0),
      title(bounded.length > 0 ? `${what}; grey: a bounded cache of as many bytes` : what),
    ],
  });
}

function drawByLength(name: string, lengths: readonly LengthRow[], of: (row: LengthRow) => Both<number>): string {
  const points = lengths.flatMap((row) =>
    (['original', 'patched'] as const).map((model) => ({ tokens: row.length, value: of(row)[model], model })),
  );
  return draw({
    height: 240,
    marginTop: 44,
    marginLeft: 56,
    marginBottom: 40,
    marginRight: 64,
    ariaLabel: `${name} by tokens of the text`,
    x: {
      label: 'tokens of the text →',
      type: 'log',
      grid: true,
      ticks: lengths.map(({ length }) => length),
      tickFormat: String,
    },
    y: { label: null, grid: true, zero: true, nice: true },
    color: { domain: Object.keys(colours), range: Object.values(colours) },
    marks: [
      Plot.line(points, { x: 'tokens', y: 'value', stroke: 'model', strokeWidth: 2 }),
      Plot.dot(points, { x: 'tokens', y: 'value', fill: 'model', r: 4 }),
      Plot.text(
        points,
        Plot.selectLast({ x: 'tokens', y: 'value', z: 'model', text: 'model', dx: 8, textAnchor: 'start' }),
      ),
      title(name),
    ],
  });
}

function title(text: string): Plot.Markish {
  return Plot.text([text], { frameAnchor: 'top-left', dy: -36, fontSize: 13, fontWeight: 'bold' });
}

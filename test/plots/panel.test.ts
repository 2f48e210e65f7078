/** A panel of many curves: every one has its name beside the plot, none over another, and axes say no more than there is room for. */
import { parseHTML } from 'linkedom';
import { expect, test } from 'vitest';
import { drawPanel, type Panel, size } from '../../src/plots/panel.js';

const lengths = Array.from({ length: 10 }, (_, i) => 128 * 2 ** i);
const names = Array.from({ length: 14 }, (_, i) => `method-${i}`);

/** All within a hair of each other, the i-th ending a length earlier than the one before it. */
const panel: Panel = {
  title: 'a panel',
  xLabel: 'N',
  yLabel: 'time',
  yScale: 'log',
  xTicks: lengths,
  curves: names.map((name, i) => ({
    name,
    look: { colour: 0, dash: i % 2 },
    points: lengths.slice(0, 10 - (i % 10)).map((x) => ({ x, y: 7 + i / 1000, low: 7, high: 7.1 })),
  })),
};

function draw(drawn: Panel): Element {
  const { document } = parseHTML('<html><body></body></html>');
  const canvas = { document, background: 'none', ink: 'black', colour: (i: number) => `#00000${i}` };
  return drawPanel(drawn, (name) => names.indexOf(name), canvas);
}

/** Where texts begin, by what they say. */
function places(svg: Element): Map<string, readonly [number, number]> {
  const texts = [...svg.querySelectorAll('text')].filter(({ textContent }) => textContent !== '');
  return new Map(
    texts.map((text) => {
      const [, x, y] = /translate\(([-\d.]+),([-\d.]+)\)/.exec(text.getAttribute('transform') ?? '') ?? [];
      return [text.textContent ?? '', [Number(x), Number(y)]];
    }),
  );
}

test('names of curves that end in one place stand one below the other, inside the panel', () => {
  const found = places(draw(panel));
  const heights = names.map((name) => found.get(name)?.[1] ?? Number.NaN).sort((a, b) => a - b);
  for (const [i, y] of heights.entries()) if (i > 0) expect(y - heights[i - 1]).toBeGreaterThan(12);
  expect(heights[0]).toBeGreaterThan(size.top - 8);
  expect(heights[13]).toBeLessThan(size.height - size.bottom + 8);
});

test('a line leads from the end of every curve to its name', () => {
  const ends = [...draw(panel).querySelectorAll('[aria-label="link"] path')].map(
    (path) => path.getAttribute('d') ?? '',
  );
  expect(ends).toHaveLength(names.length);
  for (const d of ends) {
    const [, from, to] = /^M([-\d.]+),[-\d.]+L([-\d.]+),/.exec(d) ?? [];
    expect(Number(to)).toBeGreaterThan(size.width - size.right);
    expect(Number(from)).toBeLessThanOrEqual(size.width - size.right);
  }
});

test('ten lengths have five numbers between them, three have all', () => {
  const labelled = (ticks: readonly number[]) => {
    const found = places(draw({ ...panel, xTicks: ticks }));
    return ticks.filter((n) => found.has(n.toLocaleString('en')));
  };
  expect(labelled(lengths)).toEqual([128, 512, 2048, 8192, 32768]);
  expect(labelled([128, 1024, 65536])).toEqual([128, 1024, 65536]);
});

test('a curve has the look it is given, or that of its number', () => {
  const svg = draw({ ...panel, curves: [panel.curves[1], { ...panel.curves[4], look: undefined }] });
  const lines = [...svg.querySelectorAll('[stroke-width="1.8"]')];
  expect(lines.map((line) => line.getAttribute('stroke'))).toEqual(['#000000', '#000004']);
  expect(lines.map((line) => line.getAttribute('stroke-dasharray'))).toEqual(['6 3', '6 3']);
});

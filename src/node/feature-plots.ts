/** The figures of a feature comparison as one SVG: error against m, both logarithmic, and accuracy against memory. */
import { parseHTML } from 'linkedom';
import type { FeatureRow } from '../machines/compare-features.js';
import { type Canvas, type Curve, drawPanel, type Panel, size } from '../plots/panel.js';

const colours = [
  '#4269d0',
  '#d9480f',
  '#2b8a3e',
  '#9c36b5',
  '#0b7285',
  '#a61e4d',
  '#5c940d',
  '#495057',
  '#e67700',
  '#364fc7',
  '#862e9c',
  '#087f5b',
];

/** The figure of one comparison. */
export function plotFeatures(rows: readonly FeatureRow[], title: string): string {
  return figure(panelsOf(rows, title));
}

/** Both panels; the second only where machines were trained. */
export function panelsOf(rows: readonly FeatureRow[], title: string): Panel[] {
  const approximate = rows.filter(({ method }) => method !== 'exact');
  const exact = rows.find(({ method }) => method === 'exact');
  const panels: Panel[] = [
    {
      title: `${title}: error of the kernel`,
      xLabel: 'm, channels',
      yLabel: '‖K − K̂‖ / ‖K‖',
      yScale: 'log',
      xTicks: [...new Set(approximate.map(({ m }) => m))].sort((a, b) => a - b),
      curves: curvesOf(
        approximate,
        ({ m }) => m,
        ({ error }) => error,
      ),
    },
  ];
  if (approximate.some(({ accuracy }) => accuracy !== null)) {
    panels.push({
      title: `${title}: accuracy against memory`,
      xLabel: 'bytes a stored row',
      yLabel: 'accuracy',
      yScale: 'linear',
      xTicks: powersOfFour(approximate.map(({ bytes }) => bytes)),
      curves: curvesOf(
        approximate,
        ({ bytes }) => bytes,
        ({ accuracy }) => accuracy ?? Number.NaN,
      ),
      ...(exact?.accuracy != null && { rule: { y: exact.accuracy, label: 'exact' } }),
    });
  }
  return panels;
}

/** A curve a method: mean, least and most of `y` over rows of one `x`. */
export function curvesOf<Row extends { readonly method: string }>(
  rows: readonly Row[],
  x: (row: Row) => number,
  y: (row: Row) => number,
): Curve[] {
  return [...new Set(rows.map(({ method }) => method))].map((name) => {
    const own = rows.filter(({ method }) => method === name);
    const points = [...new Set(own.map(x))]
      .sort((a, b) => a - b)
      .map((at) => {
        const values = own.filter((row) => x(row) === at).map(y);
        return {
          x: at,
          y: values.reduce((sum, value) => sum + value, 0) / values.length,
          low: Math.min(...values),
          high: Math.max(...values),
        };
      });
    return { name, points };
  });
}

/** Panels side by side, `columns` a line. A name has one colour in all of them. */
export function figure(panels: readonly Panel[], columns = 2): string {
  const lines = Math.ceil(panels.length / columns);
  const names = [...new Set(panels.flatMap(({ curves }) => curves.map(({ name }) => name)))];
  const placed = panels.map((panel, i) => {
    const svg = drawPanel(panel, (name) => names.indexOf(name), canvas());
    svg.setAttribute('x', String((i % columns) * size.width));
    svg.setAttribute('y', String(Math.floor(i / columns) * size.height));
    return svg.outerHTML;
  });
  const [width, height] = [Math.min(columns, panels.length) * size.width, lines * size.height];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><rect width="100%" height="100%" fill="white"/>${placed.join('')}</svg>\n`;
}

/** Black on white, as files are read everywhere. */
function canvas(): Canvas {
  const { document } = parseHTML('<html><body></body></html>');
  return { document, background: 'white', ink: '#212529', colour: (index) => colours[index % colours.length] };
}

/** Those within the range of the values, or a hair beyond: methods leave a channel or two of m unused. */
function powersOfFour(values: readonly number[]): number[] {
  const [least, most] = [Math.min(...values) / 1.05, Math.max(...values) * 1.05];
  return Array.from({ length: 15 }, (_, i) => 4 ** i).filter((tick) => tick >= least && tick <= most);
}

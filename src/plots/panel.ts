/** Curves against a logarithmic axis, each labelled at its end: what comparisons of methods are drawn as, in Node and on pages. */
import * as Plot from '@observablehq/plot';

/** Of a panel, in pixels. */
export const size = { width: 460, height: 360, top: 46, right: 118, bottom: 46, left: 56 };
const lineHeight = 13;
const inset = 6;
const dashes = ['none', '6 3', '2 3', '8 3 2 3'];

export interface Curve {
  readonly name: string;
  /** Colour and dash by number. Default: those of the curve's own number. */
  readonly look?: { readonly colour: number; readonly dash: number };
  readonly points: readonly CurvePoint[];
}

export interface CurvePoint {
  readonly x: number;
  /** Mean, least and most over the repeats. */
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

export interface Panel {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly yScale: 'log' | 'linear';
  readonly xTicks: readonly number[];
  readonly curves: readonly Curve[];
  /** A level to compare with. */
  readonly rule?: { readonly y: number; readonly label: string };
}

/** Where a panel is drawn: the document of a page, or linkedom's. */
export interface Canvas {
  readonly document: Document;
  readonly background: string;
  readonly ink: string;
  /** Of the i-th curve. */
  readonly colour: (index: number) => string;
}

/** One panel as an `svg` element of `size`; `indexOf` numbers curves, so that a name has one colour in all panels. */
export function drawPanel(panel: Panel, indexOf: (name: string) => number, canvas: Canvas): Element {
  const { title, xLabel, yLabel, yScale, xTicks, curves, rule } = panel;
  const { document, background, ink } = canvas;
  const all = curves.flatMap(({ points }) => points.map(({ x }) => x));
  const [first, last] = [Math.min(...all), Math.max(...all)];
  // So far beyond the axis that a line to it ends just before the labels.
  const beside = last * (last / first) ** (9 / (size.width - size.left - size.right - 2 * inset));
  const values = curves
    .flatMap(({ points }) => points.flatMap(({ low, high }) => [low, high]))
    .concat(rule ? [rule.y] : []);
  const [least, most] = paddedRange(values, yScale);
  const yTicks = yScale === 'log' ? { ticks: logarithmicTicks(least, most) } : { ticks: 7 };
  const lookOf = ({ name, look }: Curve) => {
    const index = indexOf(name);
    const { colour, dash } = look ?? { colour: index, dash: Math.floor(index / 3) };
    return { colour: canvas.colour(colour), dash: dashes[dash % dashes.length] };
  };
  const ends = curves.flatMap((curve) => {
    const end = curve.points.at(-1);
    return end ? [{ colour: lookOf(curve).colour, label: curve.name, x: end.x, y: end.y }] : [];
  });
  if (rule) ends.push({ colour: ink, label: rule.label, x: last, y: rule.y });
  const labels = spread(ends, least, most, yScale);
  const shown = labelledEvery(xTicks);
  const svg = Plot.plot({
    document,
    width: size.width,
    height: size.height,
    marginTop: size.top,
    marginRight: size.right,
    marginBottom: size.bottom,
    marginLeft: size.left,
    ariaLabel: title,
    style: { fontSize: '12px', background, color: ink },
    x: { type: 'log', inset, domain: [first, last] },
    y: {
      type: yScale,
      label: null,
      domain: [least, most],
      axis: null,
    },
    marks: [
      // Ticks of one's own: d3's logarithmic scale leaves out the labels of what does not begin with a small digit, such as 64.
      Plot.gridY(yTicks),
      Plot.axisY({
        ...yTicks,
        label: null,
        text: (n: number) => (n > 0 && n < 0.001 ? n.toExponential() : String(Number(n.toPrecision(3)))),
      }),
      Plot.axisX([...xTicks], {
        label: `${xLabel} →`,
        labelAnchor: 'center',
        text: (n: number, i: number) => (i % shown === 0 ? n.toLocaleString('en') : ''),
      }),
      Plot.text([title], { frameAnchor: 'top-left', dy: -38, dx: 6 - size.left, fontWeight: 700, fontSize: 13 }),
      Plot.text([`↑ ${yLabel}`], { frameAnchor: 'top-left', dy: -18, dx: 6 - size.left }),
      ...(rule ? [Plot.ruleY([rule.y], { stroke: ink, strokeDasharray: '3 3' })] : []),
      ...curves.flatMap((curve) => {
        const { points } = curve;
        const { colour, dash } = lookOf(curve);
        return [
          Plot.areaY(points, { x: 'x', y1: 'low', y2: 'high', fill: colour, fillOpacity: 0.15 }),
          Plot.line(points, { x: 'x', y: 'y', stroke: colour, strokeWidth: 1.8, strokeDasharray: dash }),
          Plot.dot(points, { x: 'x', y: 'y', fill: colour, r: 2.6 }),
        ];
      }),
      ...labels.flatMap(({ end, y }) => [
        // From a curve that ends early, or that others push its label away from.
        Plot.link([end], {
          ...{ x1: 'x', y1: 'y', x2: () => beside, y2: () => y },
          ...{ stroke: end.colour, strokeWidth: 0.8, strokeOpacity: 0.6 },
        }),
        Plot.text([end], {
          ...{ x: () => last, y: () => y, text: 'label' },
          ...{ fill: end.colour, textAnchor: 'start', dx: 12, fontWeight: 600 },
        }),
      ]),
    ],
  });
  return svg;
}

function paddedRange(values: readonly number[], scale: 'log' | 'linear'): [number, number] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (scale === 'log') return [least / 1.15, most * 1.15];
  const pad = 0.06 * (most - least || 1);
  return [least - pad, most + pad];
}

/** As many of 1, 2, 5 of each decade, or between them, as leave room for their labels. */
function logarithmicTicks(least: number, most: number): number[] {
  const within = (digits: readonly number[]) =>
    Array.from({ length: 17 }, (_, i) => i - 12)
      .flatMap((exponent) => digits.map((digit) => Number(`${digit}e${exponent}`)))
      .filter((tick) => tick >= least && tick <= most);
  const sets = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]].map(
    within,
  );
  return sets.filter((set) => set.length <= 9).at(-1) ?? sets[0];
}

/** Every so many ticks have their number, so that none runs into the next. */
function labelledEvery(ticks: readonly number[]): number {
  const widest = Math.max(...ticks.map((n) => n.toLocaleString('en').length));
  return Math.ceil((ticks.length * (7 * widest + 6)) / (size.width - size.left - size.right));
}

interface End {
  readonly colour: string;
  readonly label: string;
  readonly x: number;
  readonly y: number;
}

/** Labels at the right edge, pushed apart where they would overlap; `y` is the number beside which one then stands. */
function spread(ends: readonly End[], least: number, most: number, scale: 'log' | 'linear'): { end: End; y: number }[] {
  const height = size.height - size.top - size.bottom;
  const share = (y: number) =>
    scale === 'log' ? Math.log(y / least) / Math.log(most / least) : (y - least) / (most - least);
  const placed: { end: End; at: number; to: number }[] = [];
  for (const label of ends.map((end) => ({ end, at: height * (1 - share(end.y)) })).sort((a, b) => a.at - b.at)) {
    placed.push({ ...label, to: Math.max(label.at, (placed.at(-1)?.to ?? -1e9) + lineHeight) });
  }
  // What hangs over the bottom moves up, pushing what is above it.
  for (let i = placed.length - 1, limit = height; i >= 0; i--, limit -= lineHeight)
    placed[i].to = Math.min(placed[i].to, limit);
  const numberAt = (share: number) =>
    scale === 'log' ? least * (most / least) ** share : least + share * (most - least);
  return placed.map(({ end, to }) => ({ end, y: numberAt(1 - to / height) }));
}

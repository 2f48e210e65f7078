/** One colour a plan, in their order; the first is the original's. The page defines each for light and dark. */
export function planColour(index: number): string {
  return `var(--plan-${index === 0 ? 0 : 1 + ((index - 1) % 6)})`;
}

type Rgb = readonly [number, number, number];

/** matplotlib's magma at nine points: even steps look even, in grey and with colour-blind eyes too. */
const magma: readonly Rgb[] = [
  [0, 0, 4],
  [28, 16, 68],
  [79, 18, 123],
  [129, 37, 129],
  [181, 54, 122],
  [229, 80, 100],
  [251, 135, 97],
  [254, 194, 135],
  [252, 253, 191],
];

/** Colour of a value from 0 to 1; what lies outside is clipped. */
export function magmaAt(value: number): Rgb {
  return between(magma, value);
}

const alarm: readonly Rgb[] = [
  [235, 241, 247],
  [253, 226, 180],
  [248, 164, 88],
  [217, 72, 60],
  [110, 12, 52],
];
const [least, most] = [0.003, 1];

/** Background and text of a cell with a relative error, pale to dark on a logarithmic scale, alike in both themes. */
export function errorColours(error: number): { readonly back: string; readonly text: string } {
  const [r, g, b] = between(alarm, Math.log(Math.max(error, least) / least) / Math.log(most / least));
  const bright = 0.299 * r + 0.587 * g + 0.114 * b > 140;
  return { back: `rgb(${r} ${g} ${b})`, text: bright ? '#1b1b1f' : '#fff' };
}

function between(stops: readonly Rgb[], value: number): Rgb {
  const at = Math.min(Math.max(Number.isNaN(value) ? 0 : value, 0), 1) * (stops.length - 1);
  const low = stops[Math.floor(at)] ?? [0, 0, 0];
  const high = stops[Math.ceil(at)] ?? low;
  const mix = (channel: 0 | 1 | 2) => Math.round(low[channel] + (high[channel] - low[channel]) * (at % 1));
  return [mix(0), mix(1), mix(2)];
}

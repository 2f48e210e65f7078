/** A result as panels and tables, the same on the page and from the command line. */
import type { Panel } from '../plots/panel.js';
import type { BackendResult, BenchResult, Machine, Measured } from './result.js';

export interface Quantity {
  readonly title: string;
  readonly unit: string;
  readonly value: (cell: Measured) => number | undefined;
  /** 20th and 80th percentile, where there is a spread. */
  readonly band?: (cell: Measured) => readonly [number, number];
  readonly format: (value: number) => string;
}

const percent = (share: number) => `${short(100 * share)} %`;

/** What is measured of a cell, in the order it is shown. */
export const quantities = {
  time: { title: 'time', unit: 'ms', value: ({ ms }) => ms.median, band: ({ ms }) => [ms.p20, ms.p80], format: short },
  memory: {
    title: 'peak memory',
    unit: 'MB',
    value: ({ peakBytes }) => (peakBytes === undefined ? undefined : peakBytes / 1e6),
    format: (MB) => (MB < 100 ? short(MB) : MB.toFixed(0)),
  },
  error: { title: 'relative error', unit: '', value: ({ error }) => error, format: short },
  bits: {
    title: 'the part of the error that few bits make',
    unit: '',
    value: ({ quantisationError }) => quantisationError,
    format: short,
  },
  matmul: { title: 'share of the matmul rate', unit: '', value: ({ share }) => share?.matmul, format: percent },
  copy: { title: 'share of the copy bandwidth', unit: '', value: ({ share }) => share?.copy, format: percent },
} satisfies Record<string, Quantity>;

export type QuantityName = keyof typeof quantities;

/** A quantity against the length; undefined where fewer than two lengths have it. Errors at rounding have no place on it. */
export function panelOf(result: BenchResult, backend: BackendResult, name: QuantityName): Panel | undefined {
  const { title, unit, value, band }: Quantity = quantities[name];
  const curves = namesOf(result, backend).flatMap((method) => {
    const points = cellsOf(result, backend, method).flatMap((cell) => {
      const y = cell.status === 'ok' ? value(cell) : undefined;
      if (cell.status !== 'ok' || y === undefined || !(y > 0) || !Number.isFinite(y)) return [];
      const [low, high] = band?.(cell) ?? [y, y];
      return [{ x: cell.n, y, low, high }];
    });
    return points.length > 0 ? [{ name: method, points, look: lookOf(result, method) }] : [];
  });
  const xTicks = [...new Set(curves.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  if (xTicks.length < 2) return undefined;
  const yLabel = unit ? `${title}, ${unit}` : title;
  return { title: `${backend.name}: ${title}`, xLabel: 'N, tokens', yLabel, yScale: 'log', xTicks, curves };
}

export const plotNote =
  'Solid: models in onnxruntime. Dashed: own kernels, in the colour of their model where there is one. A thin line leads from where a method ended to its name.';

/** Rows of methods that have a number, columns of lengths; why there is a dash, `growthOf` says. */
export function tableOf(
  result: BenchResult,
  backend: BackendResult,
  name: QuantityName,
): { head: string[]; rows: string[][] } | undefined {
  const { value, format }: Quantity = quantities[name];
  const lengths = result.settings.lengths.filter((n) =>
    result.cells.some((cell) => cell.backend === backend.name && cell.n === n && cell.status === 'ok'),
  );
  const rows = namesOf(result, backend).flatMap((method) => {
    const own = cellsOf(result, backend, method);
    const cells = lengths.map((n) => {
      const cell = own.find((one) => one.n === n && one.status === 'ok');
      const y = cell?.status === 'ok' ? value(cell) : undefined;
      return y === undefined ? '–' : format(y);
    });
    return cells.some((cell) => cell !== '–') ? [[method, ...cells]] : [];
  });
  if (rows.length === 0) return undefined;
  return { head: ['method', ...lengths.map((n) => n.toLocaleString('en'))], rows };
}

/** How the time of every method grows, where it overtakes, and what became of it. */
export function growthOf(result: BenchResult, backend: BackendResult): { head: string[]; rows: string[][] } {
  const rows = result.summary
    .filter((row) => row.backend === backend.name)
    .map(({ method, slope, crossover, longest }) => {
      const end = cellsOf(result, backend, method).find(({ status }) => status !== 'ok');
      const why = end && end.status !== 'ok' ? `${end.n.toLocaleString('en')}: ${end.reason}` : 'all lengths ran';
      const star = typeof crossover === 'number' ? crossover.toLocaleString('en') : (crossover ?? '–');
      return [
        method,
        slope === undefined ? '–' : `N^${slope.toFixed(2)}`,
        star,
        longest?.toLocaleString('en') ?? '–',
        why,
      ];
    });
  return { head: ['method', 'growth', 'N*', 'longest', 'ended at'], rows };
}

/** What is to be said of times where the machine had more to do than it has processors; undefined where it had not, or nobody knows. */
export function busyText({ load, cores }: Machine): string | undefined {
  if (load === undefined || load <= cores) return undefined;
  return `The machine was busy with other work (load ${load} on ${cores} processors): times, growth and N* are uncertain.`;
}

/** What the device reaches, in a line. */
export function rooflineText({ roofline, adapter }: BackendResult): string {
  if (!roofline)
    return adapter?.software ? 'roofline: unmeasured (software adapter)' : 'roofline: could not be measured';
  const gigabytes = roofline.copyBytesPerMs / 1e6;
  const giga = roofline.multiplyAddsPerMs / 1e6;
  return `measured first: copies ${short(gigabytes)} GB/s, multiplies matrices at ${short(giga)} G multiply-adds/s`;
}

/** What is measured in the graph and by own kernels has one colour; kernels are dashed. */
function lookOf({ methods }: BenchResult, method: string): { colour: number; dash: number } {
  const baseOf = (name: string) => name.replace(/^kernel-/, '');
  const bases = [...new Set(methods.map(({ name }) => baseOf(name)))];
  const { form } = methods.find(({ name }) => name === method) ?? {};
  return { colour: bases.indexOf(baseOf(method)), dash: form === 'kernels' ? 1 : 0 };
}

/** In the order of the registry. */
function namesOf(result: BenchResult, backend: BackendResult): string[] {
  const tried = new Set(result.cells.filter((cell) => cell.backend === backend.name).map(({ method }) => method));
  return result.methods.map(({ name }) => name).filter((name) => tried.has(name));
}

function cellsOf(result: BenchResult, backend: BackendResult, method: string) {
  return result.cells
    .filter((cell) => cell.backend === backend.name && cell.method === method)
    .sort((a, b) => a.n - b.n);
}

/** Three digits. */
function short(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 0.01 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

/**
 * Structured projections against the dense product they stand for. Gate, then measure: a product is compared with the Ω it
 * claims to be before it is timed. Runs of all methods are taken in turn, so that what disturbs one disturbs all, and times are
 * processor time of this process, which other processes on the machine do not lengthen as they do the clock's.
 *   dense       Ω x in plain JavaScript, float64, rows four at a time: what the structured ones compete with
 *   dense wasm  the same product as a MatMul of onnxruntime-web, float32, one thread: what a model file would run
 */
import * as web from 'onnxruntime-web';
import { quantile } from '../src/bench/statistics.js';
import { applies, samplers } from '../src/features/registry.js';
import { gaussians } from '../src/features/rng.js';
import { projection } from './graphs.js';
import { median, type Row, round, type Suite } from './suite.js';

const ROWS = 64;
const REPEATS = 9;

export const projections: Suite = {
  title: `Ω x of ${ROWS} rows, m = 2d: structured products ÷ the dense one`,
  async run({ print }) {
    web.env.wasm.numThreads = 1;
    const rows: Row[] = [];
    for (const d of [16, 32, 64, 128, 256, 512, 1024]) rows.push(...(await compare(d, print)));
    return rows;
  },
};

async function compare(d: number, print: (line: string) => void): Promise<Row[]> {
  const m = 2 * d;
  const draw = { m, d, seed: 1 };
  const x = Float64Array.from({ length: ROWS * d }, gaussians(2));
  const names = Object.keys(applies) as (keyof typeof applies)[];
  const structured = names.map((name) => ({ name, apply: applies[name](draw) }));
  for (const { name, apply } of structured) gate(name, apply(x), dense(samplers[name](draw), x, d));
  const omega = samplers.iid(draw);
  const session = await web.InferenceSession.create(projection(Float32Array.from(omega), d), { logSeverityLevel: 4 });
  const feeds = { x: new web.Tensor('float32', Float32Array.from(x), [ROWS, d]) };
  const contestants = [
    { name: 'dense', run: () => dense(omega, x, d) },
    { name: 'dense wasm', run: () => session.run(feeds) },
    ...structured.map(({ name, apply }) => ({ name, run: () => apply(x) })),
  ];
  const ms = contestants.map((): number[] => []);
  for (let repeat = -3; repeat < REPEATS; repeat++) {
    for (const [i, { run }] of contestants.entries()) {
      const start = process.cpuUsage();
      // As many calls as take some milliseconds at small d, where one is too short to measure.
      const calls = Math.max(1, Math.ceil(2 ** 22 / (ROWS * m * d)));
      for (let call = 0; call < calls; call++) await run();
      const { user, system } = process.cpuUsage(start);
      if (repeat >= 0) ms[i].push((user + system) / 1000 / calls);
    }
  }
  await session.release();
  const base = median(ms[0]);
  return contestants.map(({ name }, i) => {
    const time = median(ms[i]);
    const ratio = round(time / base);
    print(`d ${d}  ${name.padEnd(12)} ${String(round(time)).padStart(8)} ms  × ${ratio}`);
    const [p20, p80] = [0.2, 0.8].map((share) => round(quantile(ms[i], share)));
    return { d, m, method: name, ms: round(time), p20, p80, ratio };
  });
}

/** x Ωᵀ: rows x [n,d], Ω [m,d] → [n,m]. Four rows of Ω share the loads of x. */
function dense(omega: Float64Array, x: Float64Array, d: number): Float64Array {
  const [n, m] = [x.length / d, omega.length / d];
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let r = 0; r < m; r += 4) {
      let [a, b, c, e] = [0, 0, 0, 0];
      const [r0, r1, r2, r3] = [r * d, (r + 1) * d, (r + 2) * d, (r + 3) * d];
      for (let l = 0, at = i * d; l < d; l++, at++) {
        const value = x[at];
        a += omega[r0 + l] * value;
        b += omega[r1 + l] * value;
        c += omega[r2 + l] * value;
        e += omega[r3 + l] * value;
      }
      out.set([a, b, c, e], i * m + r);
    }
  }
  return out;
}

function gate(name: string, got: Float64Array, want: Float64Array): void {
  let [error, size] = [0, 0];
  want.forEach((value, i) => {
    error += (got[i] - value) ** 2;
    size += value ** 2;
  });
  // Written so that NaN does not pass.
  if (!(Math.sqrt(error / size) < 1e-12)) throw new Error(`${name} is not the product it claims to be`);
}

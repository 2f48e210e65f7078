/**
 * Generative random Fourier features: a small network maps noise to frequencies, and what is learned is the kernel's spectral law
 * (Li et al. 2019, "Implicit kernel learning", eq. 2; joint training with a classifier: Fang et al. 2020, arXiv 2009.04614):
 *   ω = B tanh(A ν + a) + ν/σ,  ν ~ N(0, I_d),   k(x, y) = E[cos(ω·(x − y))]
 *   maximise  ⟨HK̂H, HYYᵀH⟩ / (‖HK̂H‖ ‖HYYᵀH‖),  H = I − 11ᵀ/n    (Cortes, Mohri and Rostamizadeh 2012, eq. 2: centred alignment)
 * with fresh noise at every step, so that any number of frequencies can be drawn of the result: it is a `Sampler`. σ is one number a
 * coordinate. At B = 0 the law is N(0, σ⁻²I), where training starts but for a small B that breaks its symmetry.
 * Fang et al. train noise and classifier together and then keep that noise; alignment needs no classifier.
 *
 * Shapes: x [n,d]; A [hidden,d], B [d,hidden]. Cost: 4m·d·hidden flops for m frequencies.
 */
import { PerformersError } from '../errors.js';
import { checkCount, type Sampler } from '../features/gaussian.js';
import { gaussians, streamSeed } from '../features/rng.js';
import { type Block, checkWhole, descend } from './descend.js';
import { type Jax, type JaxArray, loadJax } from './peer.js';
import { checkLabelled, drawBatch, type LabelledRows } from './rows.js';

export interface GeneratorOptions extends LabelledRows {
  /** σ of the Gaussian kernel it starts from, in units of x. Default √d. */
  readonly bandwidth?: number;
  /** Frequencies a step. Default 128. */
  readonly m?: number;
  /** Default 32. */
  readonly hidden?: number;
  /** Default 400. */
  readonly steps?: number;
  /** Rows a step. Default 128. */
  readonly batch?: number;
  /** Default 0.01. */
  readonly rate?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Gets 1 − alignment. */
  readonly onStep?: (step: number, loss: number) => void;
}

export interface FrequencyGenerator {
  readonly d: number;
  readonly hidden: number;
  /** Ω [m,d] of the learned law, for any m; d is the generator's. @throws PerformersError PF202 for m, d or seed */
  readonly sampler: Sampler;
  /** A [hidden,d], a [hidden], B [d,hidden], and 1/σ, one a coordinate [d]. */
  readonly weights: readonly Float32Array[];
}

/** @throws PerformersError PF425 for options or data, PF426 without @jax-js/jax, PF427 when training diverges */
export async function trainGenerator(options: GeneratorOptions): Promise<FrequencyGenerator> {
  const {
    d,
    bandwidth = Math.sqrt(d),
    m = 128,
    hidden = 32,
    steps = 400,
    batch = 128,
    rate = 0.01,
    seed = 0,
    onStep,
  } = options;
  for (const [name, value] of Object.entries({ m, hidden, batch })) checkWhole(name, value);
  if (!(bandwidth > 0 && Number.isFinite(bandwidth))) {
    throw new PerformersError('PF425', `bandwidth must be a positive number, got ${bandwidth}`, {
      at: 'learn.bandwidth',
      mend: 'use a typical distance between rows, such as Math.sqrt(d) for rows of unit variance',
    });
  }
  const rows = checkLabelled(options);
  const jax = await loadJax();
  const noise = (step: number): Block => {
    const normal = gaussians(streamSeed(streamSeed(seed, 3), step));
    return { shape: [m, d], data: Float32Array.from({ length: m * d }, normal) };
  };
  const weights = await descend(jax, {
    parameters: firstWeights(d, hidden, bandwidth, seed),
    loss: (parameters, inputs) => misalignment(jax, parameters, inputs),
    batch: (step) => [...drawBatch(rows, batch, streamSeed(seed, 2), step), noise(step)],
    steps,
    rate,
    onStep,
  });
  const sampler: Sampler = (draw) => {
    checkCount('m', draw.m);
    if (draw.d !== d) {
      throw new PerformersError('PF202', `d must be ${d}, what the generator was trained for, got ${draw.d}`, {
        at: 'features.d',
        mend: 'train a generator for rows of this width',
      });
    }
    return generate(weights, hidden, draw);
  };
  return { d, hidden, sampler, weights };
}

function firstWeights(d: number, hidden: number, bandwidth: number, seed: number): Block[] {
  const normal = gaussians(streamSeed(seed, 1));
  const drawn = (rows: number, cols: number, size: number): Block => ({
    shape: [rows, cols],
    data: Float32Array.from({ length: rows * cols }, () => size * normal()),
  });
  return [
    drawn(hidden, d, Math.sqrt(1 / d)),
    { shape: [hidden], data: new Float32Array(hidden) },
    drawn(d, hidden, 0.1 / (bandwidth * Math.sqrt(hidden))),
    { shape: [d], data: new Float32Array(d).fill(1 / bandwidth) },
  ];
}

/** 1 − centred alignment of K̂ with the labels' YYᵀ. */
function misalignment(jax: Jax, [a, shift, b, inverse]: JaxArray[], [x, labels, noise]: JaxArray[]): JaxArray {
  const { numpy: np } = jax;
  const hiddenLayer = np.tanh(np.matmul(noise.ref, np.transpose(a)).add(shift));
  const omega = np.matmul(hiddenLayer, np.transpose(b)).add(noise.mul(inverse)); // [m,d]
  const angle = np.matmul(x, np.transpose(omega));
  const phi = centred(jax, np.concatenate([np.cos(angle.ref), np.sin(angle)], 1));
  const y = centred(jax, labels);
  // ⟨ΦΦᵀ, YYᵀ⟩ = ‖ΦᵀY‖², and ‖ΦΦᵀ‖ = ‖ΦᵀΦ‖: no n × n matrix is formed.
  const cross = squares(jax, np.matmul(np.transpose(phi.ref), y.ref));
  const own = np.sqrt(squares(jax, np.matmul(np.transpose(phi.ref), phi)));
  const target = np.sqrt(squares(jax, np.matmul(np.transpose(y.ref), y)));
  return cross.div(own.mul(target)).mul(-1).add(1);
}

function centred({ numpy: np }: Jax, rows: JaxArray): JaxArray {
  return rows.ref.sub(np.mean(rows, 0));
}

function squares({ numpy: np }: Jax, values: JaxArray): JaxArray {
  return np.sum(np.square(values));
}

function generate(
  [a, shift, b, inverse]: readonly Float32Array[],
  hidden: number,
  { m, d, seed }: Parameters<Sampler>[0],
): Float64Array {
  const normal = gaussians(seed);
  const out = new Float64Array(m * d);
  const noise = new Float64Array(d);
  const inner = new Float64Array(hidden);
  for (let r = 0; r < m; r++) {
    for (let i = 0; i < d; i++) noise[i] = normal();
    for (let h = 0; h < hidden; h++) {
      let sum = shift[h];
      for (let i = 0; i < d; i++) sum += a[h * d + i] * noise[i];
      inner[h] = Math.tanh(sum);
    }
    for (let i = 0; i < d; i++) {
      let sum = noise[i] * inverse[i];
      for (let h = 0; h < hidden; h++) sum += b[i * hidden + h] * inner[h];
      out[r * d + i] = sum;
    }
  }
  return out;
}

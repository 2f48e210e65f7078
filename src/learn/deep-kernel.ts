/**
 * Deep kernel network of random-feature layers trained end to end (DKR: Xie, Liu, Wang and Huang 2019, "Deep kernel learning via random
 * Fourier features", eq. 3; METHODS M saw a README only, so the details below are ours), in float32 or in low bits from the first step on:
 *   h₀ = x,   hₗ = √(1/D) [cos(gₗ Ŵₗ hₗ₋₁), sin(gₗ Ŵₗ hₗ₋₁)],   class scores Ĥ hₗ + b
 * Ŵ is W through the straight-through quantiser, W starts at N(0, 1), g₁ at 1/bandwidth, so that the network starts as random features
 * of a Gaussian kernel, of a Gaussian kernel, …; |hₗ| = 1, so later g start at 1. Loss: cross entropy.
 *
 * Shapes: x [n,d], W₁ [D,d], W₂… [D,2D], H [classes,2D]. Numerics: float32 in training; the model predicts in float64 from its packed
 * weights, which differs by rounding. Cost: 2n(dD + 2D²(l − 1)) flops forward, three times that a step; bytes of the
 * result: quant/memory.ts.
 */
import { PerformersError } from '../errors.js';
import { gaussians, streamSeed } from '../features/rng.js';
import { headBits } from '../quant/memory.js';
import { checkBits } from '../quant/pack.js';
import { quantize } from '../quant/scheme.js';
import { weights } from '../quant/weights.js';
import { type DeepKernelModel, deepKernelModel, type StoredMatrix } from './deep-kernel-model.js';
import { type Block, checkWhole, descend } from './descend.js';
import { type Jax, type JaxArray, loadJax } from './peer.js';
import { checkLabelled, drawBatch, type LabelledRows } from './rows.js';
import { straightThrough } from './straight-through.js';

export interface DeepKernelOptions extends LabelledRows {
  /** D, frequencies a layer. */
  readonly width: number;
  /** Bits of each layer: 1, 2, 4, 8, or 32 for float32. Its length is the depth. */
  readonly bits: readonly number[];
  /** Of the first layer's Gaussian kernel, in units of x. Default √d. */
  readonly bandwidth?: number;
  /** Default 1000. */
  readonly steps?: number;
  /** Rows a step. Default 256. */
  readonly batch?: number;
  /** Default 0.01. */
  readonly rate?: number;
  /** Of first weights and batches. Default 0. */
  readonly seed?: number;
  readonly onStep?: (step: number, loss: number) => void;
}

/**
 * Trains a network; the same options give the same bytes.
 * @throws PerformersError PF420 for bits, PF425 for other options or data, PF426 without @jax-js/jax, PF427 when training diverges
 */
export async function trainDeepKernel(options: DeepKernelOptions): Promise<DeepKernelModel> {
  const {
    width,
    bits,
    bandwidth = Math.sqrt(options.d),
    steps = 1000,
    batch = 256,
    rate = 0.01,
    seed = 0,
    onStep,
  } = options;
  checkWhole('width', width);
  checkWhole('batch', batch);
  checkWhole('depth', bits.length);
  for (const b of bits) checkBits(b, [...weights.widths, 32]);
  if (!(bandwidth > 0 && Number.isFinite(bandwidth))) {
    throw new PerformersError('PF425', `bandwidth must be a positive number, got ${bandwidth}`, {
      at: 'learn.bandwidth',
      mend: 'use a typical distance between rows, such as Math.sqrt(d) for rows of unit variance',
    });
  }
  const rows = checkLabelled(options);
  const jax = await loadJax();
  const depth = bits.length;
  const head = headBits(bits);
  const trained = await descend(jax, {
    parameters: firstParameters({ width, depth, d: rows.d, classes: rows.classes, bandwidth, seed }),
    loss: (parameters, inputs) => crossEntropy(jax, parameters, inputs, [...bits, head], width),
    batch: (step) => drawBatch(rows, batch, streamSeed(seed, 2), step),
    steps,
    rate,
    onStep,
  });
  const store = (data: Float32Array, count: number, b: number): StoredMatrix =>
    b === 32
      ? { bits: 32, data }
      : quantize(data, { scheme: weights, bits: b, rows: count, cols: data.length / count });
  return deepKernelModel({
    shape: { inputs: rows.d, width, depth, outputs: rows.classes },
    layers: bits.map((b, l) => store(trained[l], width, b)),
    gains: trained[depth + 2],
    head: store(trained[depth], rows.classes, head),
    bias: trained[depth + 1],
  });
}

/** [W₁ … W_l, H, b, g] */
function firstParameters(of: {
  width: number;
  depth: number;
  d: number;
  classes: number;
  bandwidth: number;
  seed: number;
}): Block[] {
  const { width, depth, d, classes, bandwidth, seed } = of;
  const normal = gaussians(streamSeed(seed, 1));
  const drawn = (...shape: [number, number]): Block => ({
    shape,
    data: Float32Array.from({ length: shape[0] * shape[1] }, normal),
  });
  return [
    ...Array.from({ length: depth }, (_, l) => drawn(width, l === 0 ? d : 2 * width)),
    drawn(classes, 2 * width),
    { shape: [classes], data: new Float32Array(classes) },
    { shape: [depth], data: Float32Array.from({ length: depth }, (_, l) => (l === 0 ? 1 / bandwidth : 1)) },
  ];
}

function crossEntropy(
  jax: Jax,
  parameters: JaxArray[],
  [x, labels]: JaxArray[],
  bits: readonly number[],
  width: number,
): JaxArray {
  const { numpy: np, nn } = jax;
  const depth = bits.length - 1;
  const gains = parameters[depth + 2];
  let h = x;
  for (let l = 0; l < depth; l++) {
    const w = straightThrough(jax, parameters[l], bits[l]);
    // The gain of layer l, picked by a product: its gradient flows to one entry.
    const gain = np.sum(gains.ref.mul(np.array(Array.from({ length: depth }, (_, i) => (i === l ? 1 : 0)))));
    const z = np.matmul(h, np.transpose(w)).mul(gain);
    h = np.concatenate([np.cos(z.ref), np.sin(z)], 1).mul(Math.sqrt(1 / width));
  }
  gains.dispose();
  const head = straightThrough(jax, parameters[depth], bits[depth]);
  const scores = np.matmul(h, np.transpose(head)).add(parameters[depth + 1]);
  return np.mean(np.sum(nn.logSoftmax(scores, 1).mul(labels), 1)).mul(-1);
}

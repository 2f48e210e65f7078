/**
 * Linear attention by cosine features in 8, 4 or 1 bits (kernels/low-bit.ts), of softmax at τ = ¼ of its scores (METHODS G.4: temperature):
 *
 *   exp(τ q·k/√D) = exp(|x|²/2) E[2 φ(x) φ(y)] exp(|y|²/2),    x, y = √(τ/√D) q, k,   φ(x) = cos(ω·x + β)
 *
 * The factor of a query cancels, that of a key is its bias. At τ = 1 the features of random inputs of width 64 are noise: the denominator, of
 * either sign, is as good as zero, and errors are in the hundreds. At ¼ and 256 features they follow the kernel, whose own distance from softmax
 * is then most of the error (.62 to .67 of .68 to .71). What the bits add is told apart by `unrounded`.
 */
import { streamSeed, uniforms } from '../features/rng.js';
import type { GpuArray } from '../kernels/array.js';
import { sumBias } from '../kernels/double-softmax.js';
import { lowBitAttention } from '../kernels/low-bit.js';
import type { Recording } from '../kernels/record.js';
import { frequencies, type KernelCall, kernelMethod } from './kernel-methods.js';
import type { Method } from './method.js';
import type { LayerInputs, Part } from './reference.js';
import type { LayerShape } from './shape.js';

/** M */
const features = 256;
const temperature = 0.25;

/** Not of causal layers: a state for every prefix is not what these kernels make. */
export function lowBitMethod(bits: 8 | 4 | 1): Method {
  return kernelMethod(
    {
      what: `own kernels: ${features} cosine features in ${bits} bit${bits === 1 ? '' : 's'}, of softmax at a quarter of its scores`,
      kind: 'low-bit',
      keyEquivalents: () => 2 * features,
      takes: ({ causal }) => !causal,
      unrounded,
    },
    (shape) => ({
      constants: lowBitConstants(shape),
      record(recording, { scale, causal: _, ...call }, { omega, phase, weight }) {
        const input = { ...call, omega, phase, weight, M: features, scale: temperature * scale };
        return [lowBitAttention(recording, { ...input, bits, keyBias: halfSquares(recording, input) })];
      },
    }),
  );
}

/** ω [H,M,D], β [H,M] uniform on [0, 2π), and equal weights [H,M]. */
export function lowBitConstants(shape: LayerShape) {
  const uniform = uniforms(streamSeed(0, shape.heads));
  return {
    omega: frequencies(shape, features),
    phase: Float32Array.from({ length: shape.heads * features }, () => 2 * Math.PI * uniform()),
    weight: new Float32Array(shape.heads * features).fill(1),
  };
}

/** ½ scale |k|² [1,H,S] */
function halfSquares(recording: Recording, { H, S, D, k, scale }: Omit<KernelCall, 'causal'>): GpuArray {
  const out = recording.scratch('f32', H * S);
  sumBias(recording, { units: H, keys: S, baseUnits: 1, k, D, half: -scale / 2 }, out);
  return out;
}

/** The same features as they are, key after key: no state, and nothing shared with the kernels but what was drawn. */
function unrounded(shape: LayerShape, { n, q, k, v }: LayerInputs, { rows, heads }: Part): Float64Array {
  const { width } = shape;
  const stride = shape.heads * width;
  const { omega, phase } = lowBitConstants(shape);
  const scale = temperature / Math.sqrt(width);
  const out = new Float64Array(rows.length * heads * width);
  for (let h = 0; h < heads; h++) {
    const cosines = (x: Float32Array, row: number, into: Float64Array) => {
      for (let r = 0; r < features; r++) {
        let angle = 0;
        const at = (h * features + r) * width;
        for (let d = 0; d < width; d++) angle += omega[at + d] * x[row * stride + h * width + d];
        into[r] = Math.cos(Math.sqrt(scale) * angle + phase[h * features + r]);
      }
      return into;
    };
    const queries = rows.map((row) => cosines(q, row, new Float64Array(features)));
    const totals = new Float64Array(rows.length);
    const own = new Float64Array(features);
    for (let j = 0; j < n; j++) {
      cosines(k, j, own);
      const at = j * stride + h * width;
      let square = 0;
      for (let d = 0; d < width; d++) square += k[at + d] ** 2;
      const mass = Math.exp((scale * square) / 2);
      for (const [i, query] of queries.entries()) {
        let weight = 0;
        for (let r = 0; r < features; r++) weight += query[r] * own[r];
        weight *= mass;
        totals[i] += weight;
        for (let d = 0; d < width; d++) out[(i * heads + h) * width + d] += weight * v[at + d];
      }
    }
    for (const [i, total] of totals.entries())
      for (let d = 0; d < width; d++) out[(i * heads + h) * width + d] /= total;
  }
  return out;
}

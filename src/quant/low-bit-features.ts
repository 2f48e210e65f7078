/**
 * Low-bit features of any kernel that has Fourier features, indefinite ones included. A frequency ωᵣ of amplitude aᵣ and sign sᵣ gives one
 * channel of random phase in place of a cosine and a sine, so that its law, and the scheme's codebook, is that of one cosine:
 *   k̂(x, y) = c₀ + Σᵣ sᵣ 2aᵣ² c(ωᵣ·x + βᵣ) ĉ(ωᵣ·y + βᵣ),   c = cos, ĉ its stored value
 * Amplitudes are the same for all rows: they are kept once and multiply after decoding, as do the signs. With β uniform this is unbiased wherever
 * the scheme is.
 *
 * Shapes: x [n,d] → codes [n,R] for R frequencies → features [n,R] (+ a channel a constant).
 * Cost: n(2Rd + R) flops and nR cosines; ⌈nR·b / 8⌉ + 4 bytes for n rows; Ω, β and a once.
 */
import { PerformersError } from '../errors.js';
import { type Kernel, splitRows } from '../features/kernels/kernel.js';
import { streamSeed, uniforms } from '../features/rng.js';
import type { SignedMap } from '../features/signed/signed-map.js';
import { packedBytes } from './pack.js';
import { dequantize, type Quantized, quantize, type Scheme } from './scheme.js';

export interface LowBitFeatures {
  readonly d: number;
  /** Channels: frequencies, and one for each constant. */
  readonly features: number;
  readonly signs: Int8Array; // [features]
  /** Of one stored row; a matrix of rows takes 4 more for its scale. */
  readonly rowBytes: number;
  /** Rows [n,d] to codes [n,R]. `firstRow` as in `quantize`. */
  readonly encode: (x: ArrayLike<number>, firstRow?: number) => Quantized;
  /** Codes to features [n,features]. */
  readonly decode: (codes: Quantized) => Float64Array;
  /** The same features unquantised: queries, for schemes that store keys alone. */
  readonly real: (x: ArrayLike<number>) => Float64Array;
}

export interface LowBitOptions {
  readonly scheme: Scheme;
  readonly bits: number;
  /** Of phases and of stochastic rounding, in [0, 2³²). Default 0. */
  readonly seed?: number;
}

/**
 * From the map of a kernel: its frequencies, each as one channel, so that a map made with 2R channels gives R.
 * @throws PerformersError PF420 for a scheme that is not of features, or a map that is not made of frequencies
 */
export function lowBitFeatures(
  kernel: Kernel,
  map: SignedMap,
  { scheme, bits, seed = 0 }: LowBitOptions,
): LowBitFeatures {
  const { fourier } = map;
  if (scheme.of !== 'features' || !fourier) {
    const what = fourier
      ? `the scheme must be of features, got one of ${scheme.of}`
      : 'the map must be made of frequencies, and this one is not';
    throw new PerformersError('PF420', what, {
      at: fourier ? 'quant.scheme' : 'quant.map',
      mend: fourier ? 'use stochastic, nearest, lloyd-max or universal' : 'use rff, orf, sorf, grff or gorf',
    });
  }
  const blocks = [
    { ...fourier.positive, sign: 1 },
    { ...fourier.negative, sign: -1 },
  ];
  const amplitudes = blocks.flatMap(({ amplitude }) => Array.from(amplitude, (a) => Math.SQRT2 * a));
  const constants = blocks.filter(({ constant }) => constant > 0);
  const frequencies = amplitudes.length;
  const features = frequencies + constants.length;
  const uniform = uniforms(streamSeed(seed, 0));
  const phase = Float64Array.from({ length: frequencies }, () => 2 * Math.PI * uniform());

  const cosines = (x: ArrayLike<number>): Float64Array => {
    const rows = splitRows(kernel, x);
    const out = new Float64Array(rows.length * frequencies);
    rows.forEach((row, i) => {
      let r = 0;
      for (const { omega } of blocks) {
        for (let start = 0; start < omega.length; start += kernel.d, r++) {
          let angle = phase[r];
          for (let l = 0; l < kernel.d; l++) angle += omega[start + l] * row[l];
          out[i * frequencies + r] = Math.cos(angle);
        }
      }
    });
    return out;
  };
  const weighted = (values: Float64Array): Float64Array => {
    const n = values.length / frequencies;
    const out = new Float64Array(n * features);
    for (let i = 0; i < n; i++) {
      for (let r = 0; r < frequencies; r++) out[i * features + r] = amplitudes[r] * values[i * frequencies + r];
      constants.forEach(({ constant }, c) => {
        out[i * features + frequencies + c] = Math.sqrt(constant);
      });
    }
    return out;
  };
  return {
    d: kernel.d,
    features,
    signs: Int8Array.from([
      ...blocks.flatMap(({ amplitude, sign }) => Array.from(amplitude, () => sign)),
      ...constants.map(({ sign }) => sign),
    ]),
    rowBytes: packedBytes(frequencies, bits),
    encode: (x, firstRow) => {
      const values = cosines(x);
      const rows = values.length / frequencies;
      return quantize(values, { scheme, bits, rows, cols: frequencies, range: 1, seed: streamSeed(seed, 1), firstRow });
    },
    decode: (codes) => weighted(dequantize(codes)),
    real: (x) => weighted(cosines(x)),
  };
}

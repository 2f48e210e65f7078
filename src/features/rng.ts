/**
 * Seeded random numbers: the same seed gives the same bits in every JavaScript engine.
 * That rules out Math.log, cos and sin, whose last bit the language leaves open. What is left is rounded alike everywhere:
 * +, −, ×, ÷, √ and 32-bit integers.
 *
 * Bits     sfc32 (C. Doty-Humphrey, PractRand 2010), seeded by splitmix32 (Steele, Lea, Flood 2014, in 32 bits).
 * Uniform  52 bits, at the centre of its cell: never 0 and never 1.
 * Normal   the inverse distribution function, AS 241 PPND16 (Wichura 1988), relative error about 1e-16.
 */
import { PerformersError } from '../errors.js';

/** Numbers uniform in the open interval (0, 1). `seed` is an integer in [0, 2³²). */
export function uniforms(seed: number): () => number {
  const bits = sfc32(seed);
  return () => ((bits() >>> 6) * 2 ** 26 + (bits() >>> 6) + 0.5) / 2 ** 52;
}

/** Standard normal numbers, one for each uniform drawn. `seed` is an integer in [0, 2³²). */
export function gaussians(seed: number): () => number {
  const uniform = uniforms(seed);
  return () => inverseNormal(uniform());
}

/**
 * The seed of stream `index` of `seed`, for one generator a head. splitmix32 is a bijection of its counter,
 * so that two streams of one seed never share a seed.
 */
export function streamSeed(seed: number, index: number): number {
  checkSeed(seed);
  return splitmix32(seed + Math.imul(index, GOLDEN))();
}

/** x with Φ(x) = p, 0 < p < 1 (Wichura 1988, AS 241, PPND16: three rational approximations). */
export function inverseNormal(p: number): number {
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.425 * 0.425 - q * q;
    return (q * polynomial(centralTop, r)) / polynomial(centralBottom, r);
  }
  const r = Math.sqrt(-naturalLog(q < 0 ? p : 1 - p));
  const x =
    r <= 5
      ? polynomial(tailTop, r - 1.6) / polynomial(tailBottom, r - 1.6)
      : polynomial(farTop, r - 5) / polynomial(farBottom, r - 5);
  return q < 0 ? -x : x;
}

function sfc32(seed: number): () => number {
  checkSeed(seed);
  const word = splitmix32(seed);
  let a = word();
  let b = word();
  let c = word();
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  // PractRand's warm-up: every bit of the seed has reached every bit of the state.
  for (let i = 0; i < 12; i++) next();
  return next;
}

const GOLDEN = 0x9e3779b9;

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + GOLDEN) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}

function checkSeed(seed: number): void {
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return;
  throw new PerformersError('PF202', `seed must be an integer in [0, 4294967295], got ${seed}`, {
    at: 'features.seed',
    mend: 'use a small whole number such as seed = 0',
  });
}

/**
 * ln x for 0 < x ≤ 1: with x = f·2⁻ᵉ, f ≥ ½√2 and t = (f − 1)/(f + 1), ln x = 2 artanh t − e ln 2.
 * |t| ≤ .172, so that the first term left out is below 1e-18.
 */
function naturalLog(x: number): number {
  let f = x;
  let e = 0;
  for (; f < Math.SQRT1_2; e++) f *= 2;
  const t = (f - 1) / (f + 1);
  let sum = 0;
  for (let k = 21; k >= 1; k -= 2) sum = sum * t * t + 1 / k;
  return 2 * t * sum - e * Math.LN2;
}

/** Σₖ c[k] xᵏ by Horner. */
function polynomial(c: readonly number[], x: number): number {
  let sum = 0;
  for (let k = c.length - 1; k >= 0; k--) sum = sum * x + c[k];
  return sum;
}

// Coefficients of AS 241 at double precision: |p − ½| ≤ .425, then √(−ln p) ≤ 5, then the far tail.
const centralTop = [
  3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987, 67265.7709270087,
  33430.57558358813, 2509.0809287301227,
];
const centralBottom = [
  1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271, 28729.085735721943,
  5226.495278852854,
];
const tailTop = [
  1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684, 0.2417807251774506,
  0.022723844989269184, 7.745450142783414e-4,
];
const tailBottom = [
  1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
  5.475938084995345e-4, 1.0507500716444169e-9,
];
const farTop = [
  6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
  0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7,
];
const farBottom = [
  1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 7.868691311456133e-4, 1.8463183175100548e-5,
  1.421511758316446e-7, 2.0442631033899397e-15,
];

/**
 * The discrete Fourier transform X[k] = Σₙ x[n] exp(−2πi kn / p) by radix 2 (Cooley and Tukey 1965), in place, p a
 * power of two. [p] real and [p] imaginary; 5 p log₂ p flops. Twiddle factors are tabulated once for each p, every one
 * computed afresh, not by recurrence, so that the error grows as log p; 8p bytes stay behind. cos and sin may differ in
 * their last bit between engines: use it on data, not to draw constants.
 */
export function fft(re: Float64Array, im: Float64Array): void {
  const p = re.length;
  const { cos, sin } = twiddles(p);
  for (let i = 0, j = 0; i < p; i++) {
    if (i < j) {
      const real = re[i];
      const imaginary = im[i];
      re[i] = re[j];
      im[i] = im[j];
      re[j] = real;
      im[j] = imaginary;
    }
    // j counts with its carry running from the top bit down.
    let bit = p >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
  }
  for (let half = 1; half < p; half *= 2) {
    const stride = p / (2 * half);
    for (let start = 0; start < p; start += 2 * half) {
      for (let a = start, k = 0; a < start + half; a++, k += stride) {
        const c = cos[k];
        const s = sin[k];
        const b = a + half;
        const real = re[b] * c - im[b] * s;
        const imaginary = re[b] * s + im[b] * c;
        re[b] = re[a] - real;
        im[b] = im[a] - imaginary;
        re[a] += real;
        im[a] += imaginary;
      }
    }
  }
}

/**
 * What convolves cyclically, in place, with a fixed complex h of p numbers, p a power of two: h is transformed once,
 * every call costs two transforms and a product, 10 p log₂ p + 8p flops.
 */
export function convolver(hRe: Float64Array, hIm: Float64Array): (re: Float64Array, im: Float64Array) => void {
  const p = hRe.length;
  fft(hRe, hIm);
  return (re, im) => {
    fft(re, im);
    // The inverse transform is the conjugate of the transform of the conjugate, over p.
    for (let k = 0; k < p; k++) {
      const a = re[k];
      const b = im[k];
      re[k] = (a * hRe[k] - b * hIm[k]) / p;
      im[k] = -(a * hIm[k] + b * hRe[k]) / p;
    }
    fft(re, im);
    for (let k = 0; k < p; k++) im[k] = -im[k];
  };
}

interface Twiddles {
  readonly cos: Float64Array; // [p/2]
  readonly sin: Float64Array; // [p/2]
}

const tables = new Map<number, Twiddles>();

function twiddles(p: number): Twiddles {
  const known = tables.get(p);
  if (known) return known;
  const table = {
    cos: Float64Array.from({ length: p / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / p)),
    sin: Float64Array.from({ length: p / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / p)),
  };
  tables.set(p, table);
  return table;
}

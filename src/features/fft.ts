/**
 * The discrete Fourier transform X[k] = Σₙ x[n] exp(−2πi kn / p) by radix 2 (Cooley and Tukey 1965), in place, p a
 * power of two. [p] real and [p] imaginary; 5 p log₂ p flops. Each twiddle factor is computed afresh, not by
 * recurrence, so that the error grows as log p. cos and sin may differ in their last bit between engines: use it on
 * data, not to draw constants.
 */
export function fft(re: Float64Array, im: Float64Array): void {
  const p = re.length;
  for (let i = 0, j = 0; i < p; i++) {
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
    // j counts with its carry running from the top bit down.
    let bit = p >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
  }
  for (let half = 1; half < p; half *= 2) {
    for (let k = 0; k < half; k++) {
      const cos = Math.cos((Math.PI * k) / half);
      const sin = -Math.sin((Math.PI * k) / half);
      for (let a = k; a < p; a += 2 * half) {
        const b = a + half;
        const real = re[b] * cos - im[b] * sin;
        const imaginary = re[b] * sin + im[b] * cos;
        re[b] = re[a] - real;
        im[b] = im[a] - imaginary;
        re[a] += real;
        im[a] += imaginary;
      }
    }
  }
}

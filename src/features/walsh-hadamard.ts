/**
 * The fast Walsh–Hadamard transform, unnormalised: x ← H x with H[r,c] = (−1)^popcount(r & c), so that H Hᵀ = p I
 * (Fino and Algazi 1976). [p] → [p] in place, p a power of two. Only + and −: p log₂ p flops, no bytes beyond the p
 * held.
 */
export function walshHadamard(x: Float64Array): void {
  for (let half = 1; half < x.length; half *= 2) {
    for (let start = 0; start < x.length; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const a = x[i];
        const b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
}

/** The least power of two ≥ d: the width a Hadamard block is padded to. */
export function paddedWidth(d: number): number {
  return 2 ** (32 - Math.clz32(d - 1));
}

/** Signs ±1 [p], one fair bit for each uniform drawn. */
export function randomSigns(p: number, uniform: () => number): Float64Array {
  return Float64Array.from({ length: p }, () => (uniform() < 0.5 ? -1 : 1));
}

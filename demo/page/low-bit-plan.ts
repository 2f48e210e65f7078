import type { SavedPlan } from '../../src/index.js';
import { dequantize, quantize } from '../../src/quant/scheme.js';
import { weights } from '../../src/quant/weights.js';

/** Widths that the scheme has, and 32 for float32 as calibration wrote it. */
export const bitWidths = [32, ...[...weights.widths].reverse()];

/**
 * A calibrated plan with the codebooks' weights and the features' frequencies of every head rounded to `bits` a number, one scale a
 * head (src/quant/weights.ts). Offsets and biases stay: they are few, and logarithms of sums.
 */
export function lowBitPlan(saved: SavedPlan, bits: number): SavedPlan {
  if (bits === 32) return saved;
  const sites = saved.sites.map((site) => ({
    ...site,
    constants: Object.fromEntries(
      Object.entries(site.constants ?? {}).map(([name, text]) => [
        name,
        /weights$|Omega$/.test(name) ? rounded(text, site.heads, bits) : text,
      ]),
    ),
  }));
  return { ...saved, sites };
}

function rounded(text: string, heads: number, bits: number): string {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const values = new Float32Array(bytes.buffer);
  const cols = values.length / heads;
  for (let head = 0; head < heads; head++) {
    const row = values.subarray(head * cols, (head + 1) * cols);
    row.set(dequantize(quantize(row, { scheme: weights, bits, rows: 1, cols })));
  }
  let binary = '';
  for (const byte of new Uint8Array(values.buffer)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

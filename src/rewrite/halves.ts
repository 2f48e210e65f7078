/**
 * Numbers of a state in a cache of float16. Each is kept as two halves, so that what goes from call to call is float32's but for
 * two of its 24 bits:
 *
 *   hi = half(x / 2¹⁰),  lo = half(2¹¹ (x / 2¹⁰ − hi)),     x ≈ 2¹⁰ (hi + lo / 2¹¹)      error ≤ 2⁻²² |x| + 2⁻²⁶
 *
 * Alone, a half holds whole numbers up to 2,048 and nothing above 65,504: neither places in a text nor sums of thousands of keys
 * (METHODS H.4). Together they reach 6.7·10⁷, which sums of a million keys of size 60 stay below. Scores beyond it stand for ever
 * and never, and are read as such.
 */
import type { Builder } from '../onnx/build.js';

const [float32, float16] = [1, 10];

const [scale, step] = [2 ** 10, 2 ** 11];
const largest = 6.5e7;
/** Read of a number at the end of the range, larger than any that is computed with. */
const beyond = 1e23;

/** Float32 [B,X] → [B,2X], of which every number is a half. */
export function splitHalves(build: Builder, whole: string): string {
  const limit = (value: number) => build.float([value], []);
  const inRange = build.op('Min', [build.op('Max', [whole, limit(-largest)]), limit(largest)]);
  const scaled = build.op('Mul', [inRange, build.float([1 / scale], [])]);
  const high = rounded(build, scaled);
  const low = rounded(build, build.op('Mul', [build.op('Sub', [scaled, high]), build.float([step], [])]));
  return build.op('Concat', [high, low], { axis: 1 });
}

/** The inverse: two of [B,X], float32, as splitHalves gave them. */
export function joinHalves(build: Builder, high: string, low: string): string {
  const both = build.op('Add', [high, build.op('Mul', [low, build.float([1 / step], [])])]);
  const whole = build.op('Mul', [both, build.float([scale], [])]);
  const far = build.op('Less', [build.float([0.99 * largest], []), build.op('Abs', [whole])]);
  return build.op('Where', [far, build.op('Mul', [whole, build.float([beyond], [])]), whole]);
}

function rounded(build: Builder, value: string): string {
  return build.op('Cast', [build.op('Cast', [value], { to: float16 })], { to: float32 });
}

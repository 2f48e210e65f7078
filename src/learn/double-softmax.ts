/**
 * Attention by positive features as two softmaxes (attention/double-softmax.ts), differentiable in Ω and b:
 *
 *   A = Ω_k y + a + 2b  [H,M,S]      L = logsumexpₛ A      KV = softmaxₛ(A) v      O = softmaxₘ(Ω_q x + L) KV
 *
 * a is what does not depend on them: −½ |Gy|² and the bias of the key.
 */
import type { Jax, JaxArray } from './peer.js';

export interface FeatureView<T> {
  readonly queries: T; // x [H,R,D]
  readonly keys: T; // y [H,S,D]
  readonly offsets: T; // a [H,1,S]
  readonly values: T; // v [H,E,S]
}

export interface FeatureParameters<T> {
  readonly queryOmega: T; // [H,M,D]
  readonly keyOmega: T; // [H,M,D]
  readonly bias: T; // [H,M,1]
}

/** O [H,R,E]. Consumes all. */
export function doubleSoftmax(
  { numpy: np, nn }: Jax,
  { queryOmega, keyOmega, bias }: FeatureParameters<JaxArray>,
  { queries, keys, offsets, values }: FeatureView<JaxArray>,
): JaxArray {
  const flip = (value: JaxArray) => np.transpose(value, [0, 2, 1]);
  const logits = np.matmul(keyOmega, flip(keys)).add(offsets).add(bias.mul(2));
  const mass = flip(nn.logsumexp(logits.ref, -1, { keepdims: true })); // [H,1,M]
  const means = np.matmul(nn.softmax(logits, -1), flip(values)); // [H,M,E]
  const weights = nn.softmax(np.matmul(queries, flip(queryOmega)).add(mass), -1); // [H,R,M]
  return np.matmul(weights, means);
}

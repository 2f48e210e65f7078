/**
 * The hybrid's attention (rewrite/lower/hybrid.ts) of some blocks of queries, differentiable in its codebook:
 *
 *   s_cj = W_c·f_j + b_c                                  f_j = k_j or [k_j | v_j], less its mean over the input
 *   A_cj = 1 for the best code of key j, else 0           forward; backward softmax_c(s_cj), straight through (Bengio et al. 2013)
 *   n_c, k̄_c, v̄_c                                         number and means by A of the keys that lie far from the block
 *   O_i  = softmax(m_i | q_i·k̄_c + log n_c) (u_i | v̄_c)   m_i, u_i: log mass and mean value of the keys near the block
 *
 * What is near does not depend on the codebook, and so goes in as two numbers a query. A code with less than half a key is none.
 * The backward softmax has temperature 1: scores are to be in units of what lies between a key's best code and the next.
 *
 * Keys are the last axis throughout: @jax-js/jax is ten times slower at sums over an axis that is not.
 */
import type { Jax, JaxArray } from './peer.js';

/** What heads see of an input, for n blocks of b queries. */
export interface BlockView<T> {
  readonly features: T; // f [H,S,F]
  /** Far keys of each block: how much each counts, and that times the key and the value. */
  readonly count: T; // [H,n,S]
  readonly keys: T; // [H,n·D,S]
  readonly values: T; // [H,n·E,S]
  readonly queries: T; // [H,n,b,D]
  readonly nearMass: T; // m [H,n,b,1]
  readonly nearValues: T; // u [H,n,b,E]
}

/** W [H,C,F], b [H,C,1] → O [H,n,b,E]. Consumes all. */
export function codebookAttention(
  jax: Jax,
  [weights, offsets]: readonly JaxArray[],
  view: BlockView<JaxArray>,
): JaxArray {
  const { numpy: np, lax } = jax;
  const flip = (value: JaxArray) => np.transpose(value, [0, 2, 1]);
  const [heads, codes] = weights.shape;
  const blocks = view.count.shape[1];
  const assigned = assign(jax, np.matmul(weights, flip(view.features)).add(offsets)); // [H,C,S]
  /** Sums by code over the far keys of each block [H,n,C,W]. */
  const sums = (far: JaxArray) => {
    const byCode = np.matmul(assigned.ref, flip(far)); // [H,C,n·W]
    return np.transpose(byCode.reshape([heads, codes, blocks, -1]), [0, 2, 1, 3]);
  };
  const count = sums(view.count);
  const divisor = np.maximum(count.ref, 0.5);
  const keys = sums(view.keys).div(divisor.ref);
  const values = sums(view.values).div(divisor.ref);
  assigned.dispose();
  const row = (value: JaxArray) => np.transpose(value, [0, 1, 3, 2]);
  const scores = np.matmul(view.queries, row(keys)).add(row(np.log(divisor)));
  const logits = np.where(np.less(row(count), 0.5), -1e9, scores); // [H,n,b,C]
  const top = lax.stopGradient(np.maximum(np.max(logits.ref, -1, { keepdims: true }), view.nearMass.ref));
  const far = np.exp(logits.sub(top.ref));
  const near = np.exp(view.nearMass.sub(top));
  const total = np.sum(far.ref, -1, { keepdims: true }).add(near.ref);
  return np.matmul(far, values).add(near.mul(view.nearValues)).div(total);
}

/** Of scores [H,C,S], one-hot columns with the gradient of a softmax. */
function assign({ numpy: np, lax, nn }: Jax, scores: JaxArray): JaxArray {
  const soft = nn.softmax(scores.ref, 1);
  const best = np.max(scores.ref, 1, { keepdims: true });
  const hard = np.where(np.greaterEqual(scores, best), 1, 0);
  return lax.stopGradient(hard.sub(soft.ref)).add(soft);
}

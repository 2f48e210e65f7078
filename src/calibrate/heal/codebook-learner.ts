/**
 * The codebook of heads that share a plan, as something to train: its parameters, and what of a passage they do not decide.
 *
 * Features and parameters are in units in which a weight has root mean square 1, and scores in shares of what a key's best code is ahead
 * of the next on average: a step, and the softmax behind the assignment, then mean the same in every head, and the assignment is what it was.
 */
import { codebookAttention } from '../../learn/codebook-attention.js';
import type { Block } from '../../learn/descend.js';
import { numberOption } from '../../rewrite/lower/lowering.js';
import type { HeadGroup, SiteConstants } from '../../rewrite/plan.js';
import { queryBlock } from '../../rewrite/plan-options.js';
import { joined } from '../flat.js';
import type { HeadInputs } from '../record.js';
import { blockView, centredFeatures, headOf } from './block-view.js';
import { type Learner, withRows } from './learner.js';

/** Of the assignment behind the hard one, in shares of that lead. A layer of MiniLM errs by 2.6 % less with .1, 1.5 % less with .3, 3 % more with 3. */
const softness = 0.1;

/** Undefined where the plan is no `hybrid` and no `blocks`, or has no codebook. `example`, a passage, sets the units. */
export function codebookLearner(
  { heads, plan: { name, options } }: HeadGroup,
  constants: SiteConstants,
  example: HeadInputs,
): Learner | undefined {
  const C = Number(options.codes ?? 0);
  if (!(name === 'hybrid' || name === 'blocks') || C === 0) return undefined;
  const [D, E] = [example.k.dims[3] ?? 0, example.v.dims[3] ?? 0];
  const onValues = options.assign === 'pairs';
  const F = onValues ? D + E : D;
  const H = heads.length;
  const book = `${options.assign}${C}`;
  const own = (part: string, head: number, size: number) => constants[part].slice(head * size, (head + 1) * size);
  const starts = heads.map((head) => {
    const weights = transposed(own(`${book}.weights`, head, F * C), F, C);
    const offsets = own(`${book}.offsets`, head, C);
    const size = Math.sqrt(weights.reduce((sum, w) => sum + w * w, 0) / weights.length) || 1;
    const gap = softness * meanGap(centredFeatures(headOf(example, head), onValues), weights, offsets) || 1;
    return { weights, offsets, size, gap };
  });
  const near = {
    window: numberOption(options, 'window'),
    globals: numberOption(options, 'globals'),
    sinks: numberOption(options, 'sinks'),
    blocks: Number(options.blocks ?? 0),
  };
  return {
    heads,
    parameters: [
      { shape: [H, C, F], data: joined(starts.map(({ weights, size }) => weights.map((w) => w / size))) },
      { shape: [H, C, 1], data: joined(starts.map(({ offsets, gap }) => offsets.map((b) => b / gap))) },
    ],
    see(passage, blocks, length) {
      const n = blocks.length;
      const views = heads.map((head, i) => {
        const seen = headOf(passage, head);
        const { size, gap } = starts[i];
        const features = new Float32Array(length * F);
        for (const [at, f] of centredFeatures(seen, onValues).entries()) features[at] = (f * size) / gap;
        const query = near.globals > 0 ? own('query', head, D) : new Float32Array(D);
        return { features, ...blockView(seen, { ...near, query }, blocks, length) };
      });
      const all = (part: keyof (typeof views)[number], ...shape: number[]): Block => ({
        shape: [H, ...shape],
        data: joined(views.map((view) => view[part])),
      });
      return [
        all('features', length, F),
        all('count', n, length),
        all('keys', n * D, length),
        all('values', n * E, length),
        all('queries', n, queryBlock, D),
        all('nearMass', n, queryBlock, 1),
        all('nearValues', n, queryBlock, E),
      ];
    },
    parts: 7,
    attend(jax, parameters, [features, count, keys, values, queries, nearMass, nearValues]) {
      return codebookAttention(jax, parameters, { features, count, keys, values, queries, nearMass, nearValues });
    },
    constants([weights, offsets], onto, some) {
      const trained = [...starts.entries()].flatMap(([i, { size, gap }]) => {
        if (!some.includes(heads[i])) return [];
        const turned = transposed(weights.slice(i * C * F, (i + 1) * C * F), C, F);
        const shifts = offsets.slice(i * C, (i + 1) * C);
        return [{ head: heads[i], weights: turned.map((w) => w * size), offsets: shifts.map((b) => b * gap) }];
      });
      const rows = (part: 'weights' | 'offsets') => new Map(trained.map((own) => [own.head, own[part]]));
      return withRows(withRows(onto, `${book}.weights`, rows('weights')), `${book}.offsets`, rows('offsets'));
    },
  };
}

/** [rows,columns] → [columns,rows] */
function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  return matrix.map((_, at) => matrix[(at % rows) * columns + Math.floor(at / rows)]);
}

/** By how much the best code of a key is ahead of the next, on average over keys. */
function meanGap(features: Float32Array, weights: Float32Array, offsets: Float32Array): number {
  const F = weights.length / offsets.length;
  const S = features.length / F;
  let sum = 0;
  for (let j = 0; j < S && offsets.length > 1; j++) {
    let [best, next] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const [c, offset] of offsets.entries()) {
      let score = offset;
      for (let f = 0; f < F; f++) score += features[j * F + f] * weights[c * F + f];
      if (score > best) [best, next] = [score, best];
      else if (score > next) next = score;
    }
    sum += best - next;
  }
  return sum / S;
}

/** Groups of heads whose constants are trained together: those of a layer, in one descent. */
import { streamSeed, uniforms } from '../../features/rng.js';
import { type Block, type Descent, descend } from '../../learn/descend.js';
import { type Jax, type JaxArray, loadJax } from '../../learn/peer.js';
import type { SiteConstants } from '../../rewrite/plan.js';
import { queryBlock } from '../../rewrite/plan-options.js';
import { joined } from '../flat.js';
import { type Array4, type HeadInputs, masked } from '../record.js';

export interface Learner {
  readonly heads: readonly number[];
  readonly parameters: readonly Block[];
  /** What these heads see of one passage (B = 1), for some blocks of its queries: `parts` arrays, keys padded to `length`. */
  see(passage: HeadInputs, blocks: readonly number[], length: number): Block[];
  readonly parts: number;
  /** Of what see() gives: their context [H,n,b,E]. Consumes all. */
  attend(jax: Jax, parameters: JaxArray[], seen: JaxArray[]): JaxArray;
  /** `onto` with what these parameters are to some of the heads. */
  constants(parameters: readonly Float32Array[], onto: SiteConstants, some: readonly number[]): SiteConstants;
}

/** `onto` with rows of some heads in the place of those under a name. */
export function withRows(onto: SiteConstants, name: string, rows: ReadonlyMap<number, Float32Array>): SiteConstants {
  const all = onto[name].slice();
  for (const [head, own] of rows) all.set(own, head * own.length);
  return { ...onto, [name]: all };
}

/** A passage with what exact attention makes of it [1,H,N,E]. */
export interface Lesson {
  readonly passage: HeadInputs;
  readonly target: Array4;
}

/** Blocks of queries that a step looks at. */
const blocksAStep = 4;

/** The parameters of each after training: loss of transfer.ts. `outputWeight` [H,E,Dm]; where it is not known, heads count alike. */
export async function trainLearners(
  learners: readonly Learner[],
  lessons: readonly Lesson[],
  outputWeight: Array4 | undefined,
  { seed, ...descent }: { readonly seed: number } & Pick<Descent, 'steps' | 'rate' | 'onStep' | 'checkpoint'>,
): Promise<Float32Array[][]> {
  const jax = await loadJax();
  const { numpy: np } = jax;
  const heads = learners.flatMap((learner) => learner.heads);
  const length = Math.max(...lessons.map(({ passage }) => passage.k.dims[2]));
  const most = Math.ceil(length / queryBlock);
  const n = Math.min(blocksAStep, most);
  const weight = outputWeight && weightOf(outputWeight, heads);
  /** |what contexts [H,n,b,E] add to the stream|². */
  const energy = (contexts: JaxArray) => {
    if (!weight) return np.sum(np.square(contexts));
    const rows = np.transpose(contexts, [1, 2, 0, 3]).reshape([n * queryBlock, -1]);
    return np.sum(np.square(np.matmul(rows, np.array(weight.data, { shape: [...weight.dims] }))));
  };
  const sizes = learners.map(({ parameters }) => parameters.length);
  const found = await descend(jax, {
    ...descent,
    parameters: learners.flatMap(({ parameters }) => parameters),
    loss(parameters, [target, counts, ...seen]) {
      const own = inTurn(parameters, sizes);
      const views = inTurn(
        seen,
        learners.map(({ parts }) => parts),
      );
      const contexts = np.concatenate(
        learners.map((learner, i) => learner.attend(jax, own[i], views[i])),
        0,
      );
      const want = target.mul(counts.ref);
      return energy(contexts.mul(counts).sub(want.ref)).div(energy(want).add(1e-20));
    },
    batch(step) {
      const { passage, target } = lessons[step % lessons.length];
      const blocks = drawBlocks(most, n, streamSeed(seed, step));
      const seen = learners.flatMap((learner) => learner.see(passage, blocks, length));
      return [rowsOf(target, heads, blocks), countsOf(passage, blocks), ...seen];
    },
  });
  return inTurn(found, sizes);
}

/** A list cut into parts of these sizes. */
function inTurn<T>(all: readonly T[], sizes: readonly number[]): T[][] {
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return all.slice(at - size, at);
  });
}

/** n of so many blocks, none twice. */
function drawBlocks(most: number, n: number, seed: number): number[] {
  const uniform = uniforms(seed);
  const all = Array.from({ length: most }, (_, block) => block);
  return Array.from({ length: n }, () => all.splice(Math.floor(uniform() * all.length), 1)[0]);
}

/** Rows of W_o of these heads, one below the other [H·E,Dm]. */
function weightOf({ data, dims: [, E = 0, Dm = 0] }: Array4, heads: readonly number[]): Array4 {
  const rows = joined(heads.map((head) => data.subarray(head * E * Dm, (head + 1) * E * Dm)));
  return { data: rows, dims: [heads.length * E, Dm] };
}

/** Blocks of rows of [1,H,N,W], zeros behind the last: [H,n,b,W]. */
export function rowsOf(
  { data, dims: [, , N = 0, W = 0] }: Array4,
  heads: readonly number[],
  blocks: readonly number[],
): Block {
  const size = queryBlock * W;
  const found = new Float32Array(heads.length * blocks.length * size);
  for (const [h, head] of heads.entries()) {
    const own = data.subarray(head * N * W, (head + 1) * N * W);
    for (const [b, block] of blocks.entries())
      found.set(own.subarray(block * size, (block + 1) * size), (h * blocks.length + b) * size);
  }
  return { shape: [heads.length, blocks.length, queryBlock, W], data: found };
}

/** 1 for queries that are there and no padding, else 0: [1,n,b,1]. */
function countsOf({ q, keyBias }: HeadInputs, blocks: readonly number[]): Block {
  const N = q.dims[2];
  const counted = (i: number) => i < N && !(keyBias && keyBias.data[i] < masked);
  const places = blocks.flatMap((block) => Array.from({ length: queryBlock }, (_, i) => block * queryBlock + i));
  return { shape: [1, blocks.length, queryBlock, 1], data: Float32Array.from(places, (i) => Number(counted(i))) };
}

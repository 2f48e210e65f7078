/**
 * The constants of a calibrated feature map, as something to train: Ω and b of the double softmax, or an Ω a side. Those of keys may
 * have a basis for their norm, which stays. Parameters and what they are multiplied with are in units in which an entry of Ω has root
 * mean square 1, so that a step means the same in every head.
 */
import { doubleSoftmax } from '../../learn/double-softmax.js';
import { drawnBy } from '../../rewrite/lower/feature-sides.js';
import { constantName, featureShapes } from '../../rewrite/lower/features-constants.js';
import { excluded } from '../../rewrite/lower/key-set.js';
import type { HeadGroup, SiteConstants } from '../../rewrite/plan.js';
import { queryBlock } from '../../rewrite/plan-options.js';
import type { Site } from '../../rewrite/site.js';
import { joined } from '../flat.js';
import { headOf, keyWeights, type PassageHead } from './block-view.js';
import { type Learner, rowsOf, withRows } from './learner.js';

/** Undefined where the plan is no `features`, or one that is drawn from a seed. */
export function featureLearner(
  { heads, plan: { name, options } }: HeadGroup,
  constants: SiteConstants,
  site: Site,
): Learner | undefined {
  const drawn = drawnBy(options);
  const named = (part: string) => constantName(drawn, part);
  if (name !== 'features' || !(named('bias') in featureShapes(site, drawn))) return undefined;
  const [D, E, H, M] = [site.headDim, site.valueDim, heads.length, drawn.m];
  const own = (part: string, head: number, size: number) =>
    constants[named(part)].slice(head * size, (head + 1) * size);
  const sides = constants[named('omega')] ? ['omega'] : ['queryOmega', 'keyOmega'];
  const starts = sides.map((side) => heads.map((head) => sized(own(side, head, M * D))));
  const [forQueries, forKeys] = [starts[0], starts[starts.length - 1]];
  // Recorded k is this part of y, and q is the other of x.
  const toY = Math.sqrt(Math.abs(site.scale)) / site.operands.scaled.k;
  return {
    heads,
    parameters: [
      ...starts.map((side) => ({
        shape: [H, M, D],
        data: joined(side.map(({ omega, size }) => omega.map((w) => w / size))),
      })),
      { shape: [H, M, 1], data: joined(heads.map((head) => own('bias', head, M))) },
    ],
    parts: 4,
    see(passage, blocks, length) {
      const queries = rowsOf(passage.q, heads, blocks);
      const perHead = queries.data.length / H;
      const keys = new Float32Array(H * length * D);
      const offsets = new Float32Array(H * length).fill(excluded);
      const values = new Float32Array(H * E * length);
      for (const [i, head] of heads.entries()) {
        const seen = headOf(passage, head);
        const basis = named('keyBasis') in constants ? own('keyBasis', head, D * D) : undefined;
        offsets.set(keyOffsets(seen, toY, basis), i * length);
        keys.set(
          seen.k.map((x) => x * toY * forKeys[i].size),
          i * length * D,
        );
        values.set(columnsOf(seen, length), i * E * length);
        for (let at = i * perHead; at < (i + 1) * perHead; at++) queries.data[at] *= forQueries[i].size / toY;
      }
      return [
        queries,
        { shape: [H, length, D], data: keys },
        { shape: [H, 1, length], data: offsets },
        { shape: [H, E, length], data: values },
      ];
    },
    attend(jax, parameters, [queries, keys, offsets, values]) {
      const [first, second, third] = parameters;
      const map = third
        ? { queryOmega: first, keyOmega: second, bias: third }
        : { queryOmega: first.ref, keyOmega: first, bias: second };
      const view = { queries: queries.reshape([H, -1, D]), keys, offsets, values };
      return doubleSoftmax(jax, map, view).reshape([H, -1, queryBlock, E]);
    },
    constants(found, onto, some) {
      const rows = (part: number, i: number, size: number) =>
        found[part].slice((i * found[part].length) / H, ((i + 1) * found[part].length) / H).map((x) => x * size);
      const changed = [...heads.entries()].filter(([, head]) => some.includes(head));
      const withOmegas = sides.reduce(
        (before, side, part) =>
          withRows(
            before,
            named(side),
            new Map(changed.map(([i, head]) => [head, rows(part, i, starts[part][i].size)])),
          ),
        onto,
      );
      return withRows(withOmegas, named('bias'), new Map(changed.map(([i, head]) => [head, rows(sides.length, i, 1)])));
    },
  };
}

/** With the root mean square of its entries. */
function sized(omega: Float32Array) {
  return { omega, size: Math.sqrt(omega.reduce((sum, w) => sum + w * w, 0) / omega.length) || 1 };
}

/** −½ |G y|² and the bias of every key; G is the identity where there is none. */
function keyOffsets({ k, keyBias, D }: PassageHead, toY: number, basis: Float32Array | undefined): Float32Array {
  return Float32Array.from({ length: k.length / D }, (_, j) => {
    const y = k.subarray(j * D, (j + 1) * D).map((x) => x * toY);
    const turned = basis ? y.map((_, row) => y.reduce((sum, x, d) => sum + basis[row * D + d] * x, 0)) : y;
    return turned.reduce((sum, x) => sum - 0.5 * x * x, Math.max(keyBias?.[j] ?? 0, excluded));
  });
}

/** Values of a head by column [E,S], zeros behind the last and for masked keys. */
function columnsOf({ k, v, keyBias, D, E }: PassageHead, length: number): Float32Array {
  const columns = new Float32Array(E * length);
  const weights = keyWeights(k.length / D, keyBias);
  for (const [j, weight] of weights.entries())
    if (weight > 0) for (let e = 0; e < E; e++) columns[e * length + j] = v[j * E + e];
  return columns;
}

/**
 * Attention that a graph leaves to kernels on WebGPU (kernels/): a node of the domain `performers` for each group of heads. onnxruntime has no
 * such operators; segments.ts cuts the graph where they are.
 *
 *   Attend            q [B,H,N,D], k [B,G,S,D], v [B,G,S,E], keyBias? [B or 1,1,1,S]                 the plans exact, exact-blocked
 *   FeatureAttention  q, k, v, keyBias?, omega [H,M,D], featureBias? [H,M,1]       G = H             features
 *   HybridAttention   q, k, v, keyBias?, query? [H,D,1], weights? [H,F,C], offsets? [H,1,C]          hybrid
 *                    …, listed [L]: tokens that all queries attend                                    window
 *   TileAttention     q, k, v, keyBias?, grid [1,1,rows,columns], query?, weights?, offsets?         hybrid-2d; of the grid its sizes alone
 *   → [B,H,N,E], all float32; what begins at omega or query are initializers
 *
 * `scale` is the factor of q·k that is left. With `exactUpTo` inputs of so many tokens or fewer are attended exactly.
 */

import type { Attributes, Builder } from '../onnx/build.js';
import { bindInputs } from './bind.js';
import { balanceFactors } from './lower/balanced.js';
import { drawnBy } from './lower/feature-sides.js';
import { constantName, drawnMaps } from './lower/features-constants.js';
import { codebook } from './lower/hybrid.js';
import { type Constants, numberOption } from './lower/lowering.js';
import type { SitePlan, SpliceHeads } from './plan.js';
import { type Options, type PlanName, queryBlock } from './plan-options.js';
import { maskedBelow } from './prove/cases.js';
import type { Site } from './site.js';

export const kernelDomain = 'performers';

/** The node of one group of heads; returns the context [B,H,N,E]. */
export const kernelNode: SpliceHeads = (build, { site, exactUpTo }, { heads, plan }, constants) => {
  const form = forms[plan.name];
  if (!form) throw new TypeError(`no kernel serves the plan ${plan.name}`);
  const {
    operator,
    grouped,
    own = [],
    attributes,
  } = form.node(build, { site, heads, options: plan.options, constants });
  const inputs = bindInputs(build, site, heads);
  // Kernels read a key head for all queries that share it; a graph repeats it.
  const shares = grouped && heads.length === site.heads;
  const keys = shares ? bindInputs(build, { ...site, heads: site.kvHeads }, range(site.kvHeads)) : inputs;
  const bias = inputs.keyBias === undefined ? '' : hideMasked(build, inputs.keyBias);
  const context = build.op(
    operator,
    [inputs.q, keys.k, keys.v, bias, ...own],
    { scale: { float: inputs.gain }, ...(exactUpTo !== undefined && { exactUpTo }), ...attributes },
    kernelDomain,
  );
  // The model's outputs are onnxruntime's to give; where this is none, it takes the node out.
  return build.op('Identity', [context]);
};

/** Why no kernel serves a plan at its site, or undefined where one does. All groups of a site are served, or none. */
export function beyondKernels({ site, groups }: Pick<SitePlan, 'site' | 'groups'>): string | undefined {
  if (site.subgraph) return 'it lies in a branch or body of the graph, which cannot be cut';
  if (site.operands.rounding) return 'its scores are rounded on the way, and kernels do not round';
  if (Math.max(site.headDim, site.valueDim) > widest) return `its heads are wider than ${widest}`;
  for (const { plan } of groups) {
    const form = forms[plan.name];
    const reason = form ? form.declines(site, plan.options) : `no kernel serves the plan ${plan.name}`;
    if (reason) return reason;
  }
  return undefined;
}

/** What kernels take: D and E of kernels/attend.ts, the side of a tile of kernels/hybrid.ts. */
const widest = 256;
const widestTile = 8;

interface Given {
  readonly site: Site;
  readonly heads: readonly number[];
  readonly options: Options;
  readonly constants: Constants;
}

interface KernelNode {
  readonly operator: string;
  /** Keys and values are read as they are stored, [B,G,S,·]; else each query head gets its own. */
  readonly grouped?: boolean;
  /** Inputs behind q, k, v and keyBias. */
  readonly own?: readonly string[];
  readonly attributes?: Attributes;
}

interface KernelForm {
  declines(site: Site, options: Options): string | undefined;
  node(build: Builder, given: Given): KernelNode;
}

const exact: KernelForm = {
  declines({ mask, operands }) {
    const terms = mask.split('+');
    const unknown = terms.find((term) => !['none', 'padding', 'causal', 'sliding'].includes(term));
    if (unknown) return `no kernel serves the mask ${unknown}`;
    // Kernels give zeros for a row without keys; the graph gives whatever its softmax makes of it.
    const mayBeEmpty = terms.length > 1 && terms.includes('padding') && !operands.guarded;
    return mayBeEmpty ? `its mask is ${mask}: a kernel and the graph would differ in rows that see no key` : undefined;
  },
  node: (_, { site: { causal, operands } }) => ({
    operator: 'Attend',
    grouped: true,
    attributes: {
      causal: Number(causal),
      ...(operands.sliding && { before: operands.sliding.left, after: operands.sliding.right }),
    },
  }),
};

const features: KernelForm = {
  declines({ scale }, { map }) {
    if (scale < 0) return 'kernels of features take positive scales';
    return map === 'aderf' ? 'no kernel serves the map aderf, whose sides differ' : undefined;
  },
  node(build, { site, heads, options, constants }) {
    const [queryScale, keyScale] = balanceFactors(site).map((factor) => factor * factor);
    return {
      operator: 'FeatureAttention',
      own: featureConstants(build, { site, heads, options, constants }),
      attributes: { queryScale: { float: queryScale }, keyScale: { float: keyScale } },
    };
  },
};

const hybrid: KernelForm = {
  declines: () => undefined,
  node(_, { options, constants }) {
    const { own, attributes } = farField(options, constants);
    const near = { block: queryBlock, window: numberOption(options, 'window') };
    return { operator: 'HybridAttention', own, attributes: { ...near, ...attributes } };
  },
};

const hybrid2d: KernelForm = {
  declines(_, options) {
    if (numberOption(options, 'steps') > 0) return 'no kernel moves the codes of hybrid-2d on its input';
    if (numberOption(options, 'ring') > 0) return 'no kernel pools keys around tiles';
    return numberOption(options, 'tile') > widestTile ? `kernels take tiles of up to ${widestTile}` : undefined;
  },
  node(build, { site, options, constants }) {
    const { grid } = site.operands;
    if (!grid) throw new TypeError('hybrid-2d was not declined');
    const { own, attributes } = farField(options, constants);
    const sizes = build.op('Slice', [grid.value, build.int64([0, 0]), build.int64([1, 1]), build.int64([0, 1])]);
    const near = { tile: numberOption(options, 'tile'), halo: numberOption(options, 'halo'), front: grid.prefix };
    return { operator: 'TileAttention', own: [sizes, ...own], attributes: { ...near, ...attributes } };
  },
};

/** Chosen keys and summaries: what both hybrids read, and how many of each. */
function farField(options: Options, constants: Constants) {
  const [globals, codes] = [numberOption(options, 'globals'), numberOption(options, 'codes')];
  const { weights, offsets } = codes > 0 ? codebook(options, constants) : { weights: '', offsets: '' };
  return {
    own: [globals > 0 ? constants('query') : '', weights, offsets],
    attributes: { globals, sinks: numberOption(options, 'sinks'), codes },
  };
}

/** A hybrid without summaries, whose chosen keys are listed. */
const window: KernelForm = {
  declines: () => undefined,
  node(build, { options }) {
    const listed = Array.isArray(options.globals) ? options.globals : range(numberOption(options, 'globals'));
    return {
      operator: 'HybridAttention',
      own: listed.length > 0 ? ['', '', '', build.float(listed, [listed.length])] : [],
      attributes: { block: queryBlock, window: numberOption(options, 'window'), globals: 0, sinks: 0, codes: 0 },
    };
  },
};

const forms: Partial<Record<PlanName, KernelForm>> = {
  exact,
  'exact-blocked': exact,
  features,
  hybrid,
  'hybrid-2d': hybrid2d,
  window,
};

/** Ω [H,M,D] and, of calibrated maps, b [H,M,1], both of x = √queryScale q and y = √keyScale k. */
function featureConstants(build: Builder, { site, heads, options, constants }: Given): string[] {
  const drawn = drawnBy(options);
  const { map, m, seed } = drawn;
  if (!Object.hasOwn(drawnMaps, map))
    return [constants(constantName(drawn, 'omega')), constants(constantName(drawn, 'bias'))];
  const { headDim: d } = site;
  const { omega } = drawnMaps[map]({ heads: site.heads, headDim: d, m, seed });
  const rows = heads.flatMap((head) => Array.from(omega.subarray(head * m * d, (head + 1) * m * d)));
  return [build.float(rows, [heads.length, m, d])];
}

/** Kernels leave out keys below −1e30 altogether, as lowerings do with `maskedBelow`. */
function hideMasked(build: Builder, bias: string): string {
  const seen = build.op('Greater', [bias, build.float([maskedBelow], [])]);
  return build.op('Where', [seen, bias, build.float([-3e38], [])]);
}

const range = (length: number) => Array.from({ length }, (_, i) => i);

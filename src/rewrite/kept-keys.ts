/** Keys and values that exact heads go on reading where the rest of a layer keeps a state (key-state.ts). */
import type { Builder } from '../onnx/build.js';
import { bindInputs } from './bind.js';
import { counting } from './lower/blocks.js';
import { sizeOf } from './lower/exact-blocked.js';
import { hideLater, hideUnless } from './lower/key-set.js';
import type { Inputs } from './lower/lowering.js';
import { keyHeadOf, type Site } from './site.js';

/** hidden [B,1,1,P], keys [B,K,P,D], values [B,K,P,E]. */
export interface Kept {
  readonly hidden: string;
  readonly keys: string;
  readonly values: string;
}

/** The kept keys with the new ones behind them; `heads` are the key heads kept. */
export function withFresh(
  build: Builder,
  site: Site,
  { before, heads }: { before: Kept; heads: readonly number[] },
): Kept {
  const own = bindInputs(build, { ...site, heads: site.kvHeads }, heads);
  const hidden = own.keyBias ?? noneHidden(build, own.k);
  const shape = build.op('Concat', [sizeOf(build, own.k, 0), build.int64([1, 1]), sizeOf(build, own.k, 2)], {
    axis: 0,
  });
  return {
    hidden: build.op('Concat', [before.hidden, build.op('Expand', [hidden, shape])], { axis: 3 }),
    keys: build.op('Concat', [before.keys, own.k], { axis: 2 }),
    values: build.op('Concat', [before.values, own.v], { axis: 2 }),
  };
}

/** The inputs of exact heads, which attend what is kept of theirs. */
export function bindKept(
  build: Builder,
  inputs: Inputs,
  { kept, heads, past }: { kept: Kept; heads: readonly number[]; past: string },
): Inputs {
  const own = build.int64(inputs.heads.map((head) => heads.indexOf(keyHeadOf(inputs.site, head))));
  const [k, v] = [kept.keys, kept.values].map((value) => build.op('Gather', [value, own], { axis: 1 }));
  const tokens = sizeOf(build, inputs.q, 2);
  const { sliding } = inputs.site.operands;
  return {
    ...inputs,
    k,
    v,
    kT: () => build.op('Transpose', [k], { perm: [0, 1, 3, 2] }),
    keyBias: kept.hidden,
    bias: (inner, rows) => {
      const places = inner.op('Add', [rows ?? counting(inner, tokens), past]);
      const all = inner.op('Add', [past, tokens]);
      const causal = inner.op('Add', [hideLater(inner, places, all), kept.hidden]);
      return sliding ? inner.op('Add', [causal, hideEarlier(inner, places, { all, left: sliding.left })]) : causal;
    },
  };
}

/** Hides keys more than `left` before these places [n]: [n,S], S = `all` int64 [1]. */
function hideEarlier(build: Builder, places: string, { all, left }: { all: string; left: number }): string {
  const first = build.op('Reshape', [build.op('Sub', [places, build.int64([left])]), build.int64([-1, 1])]);
  return hideUnless(build, build.op('Not', [build.op('Less', [counting(build, all), first])]));
}

/** Zeros [1,1,1,N] for keys [B,G,N,D]. */
function noneHidden(build: Builder, k: string): string {
  const one = build.op('Slice', [k, build.int64([0, 0]), build.int64([1, 1]), build.int64([1, 3])]);
  const zero = build.op('Cast', [build.op('Less', [one, one])], { to: 1 });
  return build.op('Transpose', [zero], { perm: [0, 1, 3, 2] });
}

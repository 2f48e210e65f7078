/**
 * The baseline beside a state: a bounded cache of as many bytes, which drops the oldest keys (window-causal). A state that does not
 * beat it is not worth its work.
 */
import { linearizeChunks } from '../linearize.js';
import { concat } from '../onnx/encode.js';
import { findAttention } from '../rewrite/find.js';
import type { Lowering } from '../rewrite/lower/lowering.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { isStreamLowering } from '../rewrite/lower/stream-attention.js';
import { formatPlan, type HeadGroup, type LayerRule, readPlan } from '../rewrite/plan.js';
import type { Rewritten } from '../rewrite/rewritten.js';
import type { Site } from '../rewrite/site.js';
import { stateSize } from '../rewrite/state-row.js';
import type { DecoderFile } from './decoder-pair.js';

export interface BoundedCache {
  /** Tokens that every query sees, its own among them and sinks aside, in the bytes that the state takes behind so many tokens. */
  windowAfter(tokens: number): number;
  /** The original with such a cache wherever the patched model has a state; other layers as it has them. */
  make(window: number): Promise<Uint8Array>;
}

const sinks = 4;
/** The longest that window-causal takes. */
const longest = 65_536;

/**
 * @param rewritten of the patched model
 * @returns undefined where the patched model has no state that approximates the keys it stands for
 */
export function boundedCache(original: DecoderFile, rewritten: Rewritten): BoundedCache | undefined {
  const { sites } = findAttention(original.model);
  const held = sites.map((site): readonly HeadGroup[] => {
    const record = rewritten.sites.find(({ output, subgraph }) => output === site.output && subgraph === site.subgraph);
    const all = Array.from({ length: site.heads }, (_, head) => head);
    return (record?.groups ?? []).map(({ heads = all, plan }) => ({ heads, plan: readPlan(plan) }));
  });
  const layers = [...sites.keys()].filter((layer) => held[layer].some(approximates));
  if (layers.length === 0) return undefined;
  const plan = (window: number) => readPlan({ name: 'window-causal', window, sinks });
  const bytesOf = (groups: (site: Site, layer: number) => readonly HeadGroup[], tokens: number) =>
    layers.reduce((sum, layer) => {
      const { constant, perToken } = stateSize({ site: sites[layer], groups: groups(sites[layer], layer) });
      return sum + constant + perToken * tokens;
    }, 0);
  return {
    windowAfter(tokens) {
      const budget = bytesOf((_, layer) => held[layer], tokens);
      const fits = (window: number) => {
        const heads = ({ heads }: Site) => Array.from({ length: heads }, (_, head) => head);
        return bytesOf((site) => [{ heads: heads(site), plan: plan(window) }], tokens) <= budget;
      };
      // A window longer than the text holds no more of it.
      let [most, beyond] = [1, Math.min(tokens, longest) + 1];
      while (beyond - most > 1) {
        const middle = (most + beyond) >> 1;
        if (fits(middle)) most = middle;
        else beyond = middle;
      }
      return most;
    },
    async make(window) {
      const others = [...sites.keys()].filter((layer) => !layers.includes(layer));
      const rules: LayerRule[] = [
        { layers, plan: formatPlan(plan(window)) },
        ...others.flatMap((layer) =>
          held[layer].map((group) => ({ layers: layer, heads: group.heads, plan: formatPlan(group.plan) })),
        ),
      ];
      const { chunks } = await linearizeChunks(original.bytes, { file: original.path, plan: 'exact-blocked', rules });
      return concat(chunks);
    },
  };
}

/** A state that stands for keys it does not hold, other than by dropping them. */
function approximates({ plan: { name } }: HeadGroup): boolean {
  const lowering: Lowering = lowerings[name];
  return isStreamLowering(lowering) && name !== 'window-causal';
}

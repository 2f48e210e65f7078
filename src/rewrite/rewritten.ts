/** What an earlier rewriting says of itself in a model: none of it is attention of the model's own. */
import type { ModelProto } from '../onnx/gen/onnx.js';

/** The entry of the model's metadata that every rewriting leaves. */
export const metadataKey = 'performers.plan';

/** Values that a rewriting makes are called so; a second one in the same model takes `performers2/`. */
const ours = /^performers\d*\//;

export interface Rewritten {
  readonly sites: readonly {
    /** The context whose computation was replaced. */
    readonly output: string;
    readonly subgraph: string;
    /** `window:window=64`, `features:m=64 and exact-blocked:block=256` */
    readonly plans: string;
    /** The same with the heads that share each; without them, of all heads. */
    readonly groups: readonly { readonly heads?: readonly number[]; readonly plan: string }[];
  }[];
  /** Whether a value is of the rewriting. */
  isOurs(value: string): boolean;
}

/** An entry that is no list of plans counts as none: anyone can write one. */
export function readRewritten(proto: ModelProto): Rewritten {
  const list = listRewritten(proto);
  const sites = list.flatMap((site) => {
    if (typeof site !== 'object' || site === null) return [];
    const { output, subgraph = '', plans } = site as Readonly<Record<string, unknown>>;
    if (typeof output !== 'string' || typeof subgraph !== 'string' || !Array.isArray(plans)) return [];
    const groups = plans.map(groupOf);
    return [{ output, subgraph, plans: [...new Set(groups.map(({ plan }) => plan))].join(' and '), groups }];
  });
  return { sites, isOurs: (value) => list.length > 0 && ours.test(value) };
}

/** The entries as they stand in the file. */
export function listRewritten({ metadataProps }: ModelProto): readonly unknown[] {
  const entry = metadataProps.find(({ key }) => key === metadataKey);
  const list = entry && readJson(entry.value ?? '');
  return Array.isArray(list) ? list : [];
}

/** Of all heads a plan's text; of some, { heads, plan }. */
function groupOf(given: unknown): { heads?: number[]; plan: string } {
  if (typeof given !== 'object' || given === null || !('plan' in given)) return { plan: String(given) };
  const heads = 'heads' in given && Array.isArray(given.heads) ? given.heads.map(Number) : undefined;
  return { plan: String(given.plan), ...(heads && { heads }) };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Records the heads of a model on data and measures every candidate on every head: what `choose` chooses from. */
import type { Model } from '../onnx/graph.js';
import type { Plan, SiteConstants } from '../rewrite/plan.js';
import type { Site } from '../rewrite/site.js';
import type { Feeds, SessionFactory } from '../session.js';
import { makeConstants } from './candidates.js';
import { fitFeatures, looksAtPairs } from './fit-features.js';
import { type Bench, type HeadErrors, openBench } from './measure.js';
import { addPairs, emptyPairs } from './pair-moments.js';
import { type Array4, type HeadInputs, openRecorder } from './record.js';
import { addInput, emptyStatistics } from './statistics.js';

export interface SiteSurvey {
  readonly site: Site;
  readonly plans: readonly Plan[];
  /** All that any candidate reads. */
  readonly constants: SiteConstants;
  /** Share of the layer's output that plan p gets wrong in head h, mean over held-out inputs. [H][P] */
  readonly shares: readonly (readonly number[])[];
  /** Keys of the longest input: what exact attention costs. */
  readonly keys: number;
  /** Of its tensors on one input: they decide how many sites are recorded together. */
  readonly recordedBytes: number;
  /** W_o [H,E,Dm], where it is in plain sight. */
  readonly outputWeight?: Array4;
}

export interface SurveyOptions {
  readonly fit: readonly Feeds[];
  readonly held: readonly Feeds[];
  readonly plansFor: (site: Site) => readonly Plan[];
  readonly seed: number;
  readonly onStep: (what: string) => void;
  /** How many passes over the data it takes, as far as is known: how many layers go into one shows in the first. */
  readonly onPasses: (count: number) => void;
  /**
   * Sites that an earlier run surveyed, by the bytes of their tensors. They are recorded with the others of their pass all
   * the same: another set of outputs makes onnxruntime fuse other nodes, and then the last bits differ.
   */
  readonly known: ReadonlyMap<Site, number>;
  /** Called with each site as soon as it is surveyed. */
  readonly onSite: (survey: SiteSurvey) => Promise<void>;
}

/** Recorded tensors kept at a time. Layers that do not fit are recorded in further passes over the data. */
const memory = 256 * 2 ** 20;
/** Held-out inputs that candidates are measured on. */
const measured = 6;

/** At most so many of them, from the first to the last. */
export function spread<T>(all: readonly T[], most: number): T[] {
  if (all.length <= most) return [...all];
  return Array.from({ length: most }, (_, i) => all[Math.floor((i * all.length) / most)]);
}

/** Passes over the data for so many sites, each `bytes` an input. */
function sitesAtOnce(bytes: number, inputs: number): number {
  return Math.max(1, Math.floor(memory / Math.max(1, bytes * inputs)));
}

export async function surveySites(
  model: Model,
  sites: readonly Site[],
  createSession: SessionFactory,
  options: SurveyOptions,
): Promise<void> {
  const bench = openBench(createSession);
  try {
    const held = spread(options.held, measured);
    let atOnce = 1;
    let passes = 0;
    for (let first = 0; first < sites.length; ) {
      const some = sites.slice(first, first + atOnce);
      if (some.every((site) => options.known.has(site))) {
        first += some.length;
        atOnce = sitesAtOnce(options.known.get(some[0]) ?? 1, held.length);
        continue;
      }
      const recorder = await openRecorder(model, some, createSession);
      try {
        const statistics = some.map((site) => emptyStatistics(site, options.fit.length));
        const lookedAt = some.filter((site) => !options.known.has(site) && options.plansFor(site).some(looksAtPairs));
        const pairs = new Map(lookedAt.map((site) => [site, emptyPairs(site, options.fit.length)]));
        for (const [i, feeds] of options.fit.entries()) {
          for (const [s, recorded] of (await recorder.run(feeds)).entries()) {
            addInput(statistics[s], recorded, options.seed + i);
            const own = pairs.get(some[s]);
            if (own) addPairs(own, recorded, options.seed + i);
          }
          options.onStep(`record ${layers(first, some.length)}, input ${i + 1}`);
        }
        const kept: HeadInputs[][] = [];
        for (const feeds of held) kept.push(await recorder.run(feeds));
        const weights = await recorder.outputWeights(held[0] ?? {});
        for (const [s, site] of some.entries()) {
          if (options.known.has(site)) continue;
          const plans = options.plansFor(site);
          const inputs = kept.map((run) => run[s]);
          const gram = gramOf(site, weights[s]);
          const wants: Array4[] = [];
          for (const one of inputs) wants.push(await bench.exact(site, one));
          const sharesOf = (tried: readonly Plan[], made: SiteConstants) =>
            measureSite(bench, site, { plans: tried, inputs, wants, gram, constants: made });
          const constants = await makeConstants(site, statistics[s], {
            plans,
            seed: options.seed,
            kMeans: bench.kMeans,
            features(plan) {
              const own = pairs.get(site);
              if (!own) throw new TypeError('no pairs were recorded for a plan that looks at them');
              return fitFeatures(site, plan, own, async (made) =>
                (await sharesOf([plan], made)).map(([share]) => share),
              );
            },
          });
          const shares = await sharesOf(plans, constants);
          const keys = Math.max(...inputs.map(({ k }) => k.dims[2] ?? 0));
          options.onStep(`measure layer ${first + s}`);
          const outputWeight = weights[s];
          const recordedBytes = bytesOf(inputs[0]);
          await options.onSite({
            site,
            plans,
            constants,
            shares,
            keys,
            recordedBytes,
            ...(outputWeight && { outputWeight }),
          });
        }
        first += some.length;
        atOnce = sitesAtOnce(bytesOf(kept[0]?.[0]), held.length);
        passes++;
        options.onPasses(passes + Math.ceil((sites.length - first) / atOnce));
      } finally {
        await recorder.release();
      }
    }
  } finally {
    await bench.release();
  }
}

function layers(first: number, count: number): string {
  return count === 1 ? `layer ${first}` : `layers ${first}-${first + count - 1}`;
}

function bytesOf(inputs: HeadInputs | undefined): number {
  return inputs ? 4 * (inputs.q.data.length + inputs.k.data.length + inputs.v.data.length) : 1;
}

async function measureSite(
  bench: Bench,
  site: Site,
  given: {
    plans: readonly Plan[];
    inputs: readonly HeadInputs[];
    /** Exact attention of each. */
    wants: readonly Array4[];
    gram: Array4;
    constants: SiteConstants;
  },
): Promise<number[][]> {
  const { plans, inputs, wants, gram, constants } = given;
  const runs: HeadErrors[][] = plans.map(() => []);
  // Plan by plan: the bench keeps few of them open.
  for (const [p, plan] of plans.entries()) {
    for (const [i, one] of inputs.entries())
      runs[p].push(await bench.compare(site, plan, { inputs: one, want: wants[i], gram, constants }));
  }
  const total = runs[0].reduce((sum, { size }) => sum + size.reduce((a, b) => a + b, 0), 0) || 1;
  return Array.from({ length: site.heads }, (_, h) =>
    runs.map((run) => {
      const error = run.reduce((sum, one) => sum + one.error[h], 0);
      return Math.max(0, error) / total;
    }),
  );
}

/** W_o W_oᵀ of every head [H,E,E]; the identity where W_o is not known. */
export function gramOf({ heads: H, valueDim: E }: Site, weight: Array4 | undefined): Array4 {
  const data = new Float32Array(H * E * E);
  const width = weight?.dims[2] ?? 0;
  for (let h = 0; h < H; h++) {
    for (let i = 0; i < E; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = weight || i !== j ? 0 : 1;
        if (weight) {
          const [a, b] = [(h * E + i) * width, (h * E + j) * width];
          for (let f = 0; f < width; f++) sum += weight.data[a + f] * weight.data[b + f];
        }
        data[(h * E + i) * E + j] = sum;
        data[(h * E + j) * E + i] = sum;
      }
    }
  }
  return { data, dims: [H, E, E] };
}

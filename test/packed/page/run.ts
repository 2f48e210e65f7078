/** What all pages do: models of each kind, as they are and linearized, through the pipelines of their transformers.js. */
import type * as Transformers from '@huggingface/transformers';
import type { Performers, PerformersOptions } from '../../../src/adapters/transformers.js';

export interface Answer {
  readonly values: number[];
  /** Sites by session, of a linearized model. */
  readonly sites: Record<string, number>;
  readonly ms: number;
}

export interface Page {
  /** A map of `size` × `size` pixels. */
  depth(options: PerformersOptions, size: number): Promise<Answer>;
  embed(texts: string[], options: PerformersOptions): Promise<Answer>;
  /** The SHA-256 of every model that the cache of transformers.js holds, by the path of its URL. */
  cached(): Promise<Record<string, string>>;
  where(): Promise<Where>;
}

/** Where the library runs. */
export interface Where {
  readonly worker: boolean;
  readonly isolated: boolean;
  /** Workers started so far, which is what threads of wasm are. */
  readonly threads: number;
}

declare global {
  interface Window {
    page: Page;
  }
}

export type Library = Pick<typeof Transformers, 'env' | 'pipeline' | 'RawImage'>;

/** `ort` where it is not the onnxruntime that performers() finds by itself. */
export function createPage(
  { env, pipeline, RawImage }: Library,
  performers: Performers,
  ort?: PerformersOptions['ort'],
): Page {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = '/models/';
  env.useBrowserCache = true;
  // transformers.js would take the wasm from a CDN.
  Object.assign(env.backends.onnx.wasm ?? {}, { wasmPaths: '/ort/' });
  const threads = countWorkers();
  const sitesOf = (carrier: object, { original }: PerformersOptions): Record<string, number> => {
    if (original) return {};
    const entries = Object.entries(performers.report(carrier)).map(
      ([name, { sites }]) => [name, sites.length] as const,
    );
    return Object.fromEntries(entries);
  };
  return {
    async depth(options, size) {
      const pipe = await pipeline('depth-estimation', 'vit-s14-saliency', {
        dtype: 'fp32',
        ...performers({ ort, ...options }),
      });
      Object.assign(pipe.processor?.image_processor ?? {}, { size: { height: size, width: size } });
      const image = await RawImage.read('/models/vit-s14-saliency/samples/chelsea.png');
      const start = performance.now();
      const { predicted_depth } = await pipe(image);
      const ms = performance.now() - start;
      const answer = { values: Array.from(predicted_depth.data, Number), sites: sitesOf(pipe, options), ms };
      await pipe.dispose();
      return answer;
    },
    async embed(texts, options) {
      const pipe = await pipeline('feature-extraction', 'all-MiniLM-L6-v2', {
        dtype: 'fp32',
        ...performers({ ort, ...options }),
      });
      const start = performance.now();
      const output = await pipe(texts, { pooling: 'mean', normalize: true });
      const ms = performance.now() - start;
      const answer = { values: Array.from(output.data, Number), sites: sitesOf(pipe, options), ms };
      await pipe.dispose();
      return answer;
    },
    async cached() {
      const cache = await caches.open(env.cacheKey ?? 'transformers-cache');
      const held: Record<string, string> = {};
      for (const { url } of await cache.keys()) {
        if (!url.endsWith('.onnx')) continue;
        const bytes = await (await cache.match(url))?.arrayBuffer();
        const digest = await crypto.subtle.digest('SHA-256', bytes ?? new ArrayBuffer(0));
        const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0'));
        held[new URL(url).pathname] = hex.join('');
      }
      return held;
    },
    async where() {
      return { worker: typeof document === 'undefined', isolated: crossOriginIsolated, threads: threads() };
    },
  };
}

/** How many workers were started from here on. */
function countWorkers(): () => number {
  let count = 0;
  globalThis.Worker = class extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      count++;
    }
  };
  return () => count;
}

/** What both pages do: models of each kind, as they are and linearized, through the pipelines of their transformers.js. */
import type * as Transformers from '@huggingface/transformers';
import type { Performers, PerformersOptions } from '../../../src/adapters/transformers.js';

export interface Answer {
  readonly values: number[];
  /** Sites by session, of a linearized model. */
  readonly sites: Record<string, number>;
  readonly ms: number;
}

export interface Page {
  depth(options: PerformersOptions): Promise<Answer>;
  embed(texts: string[], options: PerformersOptions): Promise<Answer>;
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
  // transformers.js would take the wasm from a CDN.
  Object.assign(env.backends.onnx.wasm ?? {}, { wasmPaths: '/ort/', numThreads: 1 });
  const sitesOf = (carrier: object, { original }: PerformersOptions): Record<string, number> => {
    if (original) return {};
    const entries = Object.entries(performers.report(carrier)).map(
      ([name, { sites }]) => [name, sites.length] as const,
    );
    return Object.fromEntries(entries);
  };
  return {
    async depth(options) {
      const pipe = await pipeline('depth-estimation', 'vit-s14-saliency', {
        dtype: 'fp32',
        ...performers({ ort, ...options }),
      });
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
  };
}

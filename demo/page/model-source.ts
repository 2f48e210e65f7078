/**
 * Where a model's files come from. transformers.js asks its cache before it fetches anything, so that a cache of our own gives it
 * files from disk, and the very bytes that are inspected; what is not in it is fetched from where it lies.
 */
import { env } from '@huggingface/transformers';
import { PerformersError } from '../../src/errors.js';
import { restore, type SavedPlan } from '../../src/index.js';
import type { ModelSource } from './protocol.js';

export interface LoadedModel {
  /** As pipeline() takes it. */
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Absent for a bare `.onnx`. */
  readonly config?: { readonly architectures?: readonly string[] };
  readonly hasImages: boolean;
  readonly saved?: SavedPlan;
  readonly samples: readonly string[];
  readonly note?: string;
}

/** What ships, beside what a folder of any model has. */
const shipped: Readonly<Record<string, { plan: string; report?: string; samples: readonly string[]; note?: string }>> =
  {
    'vit-s14-saliency': {
      plan: 'hybrid.plan.json',
      samples: ['samples/chelsea.png', 'samples/coffee.png', 'samples/astronaut.png', 'samples/rocket.jpg'],
    },
    'performer-stories': {
      plan: 'features.plan.json',
      report: 'onnx/model.performers.json',
      samples: [],
      note: 'This model was trained with linear attention: its plan is the model, and the softmax form on the left is what it was never trained to be.',
    },
  };

let opened = 0;
const served = new Map<string, Blob | Uint8Array>();

/** Files by the end of their address; everything else is fetched. */
function answerFrom(address: string): Response | undefined {
  for (const [end, content] of served) {
    if (!address.endsWith(end)) continue;
    const size = content instanceof Blob ? content.size : content.byteLength;
    return new Response(content as BodyInit, { headers: { 'content-length': String(size) } });
  }
  return undefined;
}

/** @throws PerformersError PF106, PF107 */
export async function loadModel(source: ModelSource, modelsUrl: string): Promise<LoadedModel> {
  served.clear();
  env.useBrowserCache = false;
  env.useCustomCache = true;
  env.customCache = { match: async (request) => answerFrom(String(request)), put: async () => {} };
  env.allowLocalModels = true;
  env.allowRemoteModels = source.kind === 'hub';
  // A path: what is a whole URL transformers.js takes for a file of the hub.
  env.localModelPath = new URL(modelsUrl).pathname;
  if (source.kind === 'files') return fromDisk(source);
  if (source.kind === 'hub') {
    const base = `${env.remoteHost}${source.id}/resolve/main/`;
    return load(source.id, (path) => fetchFile(`${base}${path}`));
  }
  const about = shipped[source.name];
  const base = `${modelsUrl}${source.name}/`;
  const read = (path: string) => fetchFile(`${base}${path}`);
  const { bytes, ...model } = await load(source.name, read);
  const json = async (path: string) => JSON.parse(new TextDecoder().decode(await read(path)));
  const original = about.report ? await restore(bytes, await json(about.report)) : bytes;
  served.set(`${source.name}/onnx/model.onnx`, original);
  const samples = about.samples.map((path) => `${base}${path}`);
  return { ...model, bytes: original, saved: await json(about.plan), samples, ...(about.note && { note: about.note }) };
}

async function fromDisk({ name, files }: Extract<ModelSource, { kind: 'files' }>): Promise<LoadedModel> {
  const models = files.filter(({ path }) => path.endsWith('.onnx'));
  const main = models.find(({ path }) => /(^|\/)model\.onnx$/.test(path)) ?? models[0];
  if (!main) {
    throw new PerformersError('PF106', `no .onnx file in '${name}'`, {
      at: name,
      mend: 'choose a .onnx file, or the folder of a transformers.js model with onnx/model.onnx in it',
    });
  }
  const bytes = new Uint8Array(await main.blob.arrayBuffer());
  // transformers.js remembers what files a model of a name has, and takes few characters in it.
  const id = `disk-${++opened}/${name.replace(/[^\w.-]+/g, '-')}`;
  for (const { path, blob } of files) served.set(`${id}/${path}`, blob);
  served.set(`${id}/onnx/model.onnx`, bytes);
  const config = files.find(({ path }) => path === 'config.json');
  const hasImages = files.some(({ path }) => path === 'preprocessor_config.json');
  if (!config) return { id, bytes, hasImages, samples: [] };
  return { id, bytes, hasImages, samples: [], config: JSON.parse(await config.blob.text()) };
}

async function load(id: string, read: (path: string) => Promise<Uint8Array>): Promise<LoadedModel> {
  const [bytes, config, images] = await Promise.all([
    read('onnx/model.onnx'),
    read('config.json'),
    read('preprocessor_config.json').catch(() => undefined),
  ]);
  served.set(`${id}/onnx/model.onnx`, bytes);
  served.set(`${id}/resolve/main/onnx/model.onnx`, bytes);
  return {
    id,
    bytes,
    hasImages: images !== undefined,
    samples: [],
    config: JSON.parse(new TextDecoder().decode(config)),
  };
}

async function fetchFile(url: string): Promise<Uint8Array> {
  const wrong = (reason: string, cause?: unknown) =>
    new PerformersError('PF107', `a file of the model could not be read: ${reason}`, {
      at: url,
      mend: 'check the name of the model and the connection; a model from the hub needs config.json and onnx/model.onnx',
      cause,
    });
  const response = await fetch(url).catch((cause: unknown) => {
    throw wrong(cause instanceof Error ? cause.message : String(cause), cause);
  });
  if (!response.ok) throw wrong(`HTTP ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

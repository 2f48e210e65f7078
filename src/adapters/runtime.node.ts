import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PerformersError } from '../errors.js';
import type { SessionFactory } from '../session.js';
import { readModel, withWeights } from './model-file.js';
import type { OnnxRuntime, SessionOptions } from './ort.js';
import { sessionFactory } from './ort-session.js';

/** Runtimes that the command line measures on. */
const nodeRuntimes = {
  node: {
    package: 'onnxruntime-node',
    options: { executionProviders: ['cpu'], interOpNumThreads: 1 },
  },
  wasm: { package: 'onnxruntime-web', options: { executionProviders: ['wasm'] } },
} satisfies Record<string, { package: string; options: SessionOptions }>;

export type NodeRuntime = keyof typeof nodeRuntimes;

/**
 * Sessions of a runtime in this process. External weights are those beside `model`, the path of the file that the
 * bytes are of, or were made from.
 *
 * @param threads of one operator; onnxruntime-web takes the number of the first session of a process for all
 * @throws PerformersError PF301 when the runtime is not installed
 */
export async function nodeSessions(
  runtime: NodeRuntime,
  model?: string,
  extra: SessionOptions = {},
  threads = 1,
): Promise<SessionFactory> {
  const ort = await loadRuntime(runtime, threads);
  const options: SessionOptions = { ...nodeRuntimes[runtime].options, intraOpNumThreads: threads, ...extra };
  if (model === undefined) return sessionFactory(ort, options);
  const source = await readModel(model);
  return async (bytes) => sessionFactory(ort, await withWeights(ort, { ...source, bytes }, options))(bytes);
}

/** The package as found from here, from the working directory, or beside a transformers.js there. */
async function loadRuntime(runtime: NodeRuntime, threads: number): Promise<OnnxRuntime> {
  const { package: name } = nodeRuntimes[runtime];
  let cause: unknown;
  for (const from of searchPaths()) {
    try {
      const imported = await import(pathToFileURL(createRequire(from).resolve(name)).href);
      // A CommonJS module comes as the default, or as names, as whatever runs this sees fit.
      const module = imported.InferenceSession ? imported : imported.default;
      if (runtime === 'wasm') module.env.wasm.numThreads = threads;
      return module;
    } catch (error) {
      cause ??= error;
    }
  }
  throw new PerformersError('PF301', `running a model needs ${name}, which was not found`, {
    at: `--runtime ${runtime}`,
    mend: `npm install ${name}`,
    cause,
  });
}

function searchPaths(): string[] {
  const here = join(process.cwd(), 'package.json');
  const paths = [import.meta.url, here];
  for (const from of paths.slice()) {
    try {
      paths.push(createRequire(from).resolve('@huggingface/transformers'));
    } catch {
      // Not installed there.
    }
  }
  return paths;
}

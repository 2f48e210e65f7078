/** transformers.js, and what lies in the folder of a local model. */
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PerformersError } from '../errors.js';

export type Transformers = typeof import('@huggingface/transformers');

/** @throws PerformersError PF301 when it is installed neither beside this package nor in the working directory */
export async function transformers(): Promise<Transformers> {
  for (const from of [import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href]) {
    try {
      return await import(pathToFileURL(createRequire(from).resolve('@huggingface/transformers')).href);
    } catch {
      // Not installed there.
    }
  }
  throw new PerformersError(
    'PF301',
    'reading text, images and sound needs @huggingface/transformers, which was not found',
    {
      at: '--data',
      mend: 'npm install @huggingface/transformers, or give JSON lines of model inputs',
    },
  );
}

/**
 * transformers.js looks local models up by name below one folder.
 *
 * @throws PerformersError PF501 when `load` fails
 */
export async function fromFolder<T>(root: string, load: (name: string) => Promise<T>): Promise<T> {
  const { env } = await transformers();
  const { localModelPath, allowRemoteModels, allowLocalModels } = env;
  Object.assign(env, { localModelPath: `${dirname(root)}/`, allowRemoteModels: false, allowLocalModels: true });
  try {
    return await load(basename(root));
  } catch (cause) {
    throw new PerformersError('PF501', `the folder of the model has no tokenizer or processor that can be read`, {
      at: root,
      mend: 'use a model folder as transformers.js has it, or give JSON lines of model inputs',
      cause,
    });
  } finally {
    Object.assign(env, { localModelPath, allowRemoteModels, allowLocalModels });
  }
}

/** The folder with config.json: the model's own, or that above onnx/. */
export function rootOf(modelPath: string): string {
  const folder = dirname(resolve(modelPath));
  return basename(folder) === 'onnx' ? dirname(folder) : folder;
}

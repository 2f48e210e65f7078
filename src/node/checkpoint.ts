/**
 * Layers that an interrupted calibration had measured, and the state of its training, kept in a folder beside the output until it is
 * written: the next run with the same model, data and seed goes on from there. Each file is whole or not there.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Array4 } from '../calibrate/record.js';
import type { Checkpoint, LayerRecord } from '../calibrate/survey-model.js';
import type { DescentState } from '../learn/descend.js';
import type { Feeds } from '../session.js';
import { writeFilesAtomic } from './atomic-write.js';
import { isRecord } from './input-file.js';

/** Says which calibration layers are of: they are measured anew where anything of it differs. */
export function calibrationKey(model: Uint8Array, inputs: readonly Feeds[], seed: number): string {
  const hash = createHash('sha256').update(`performers.calibration/1 ${seed}`).update(model);
  for (const feeds of inputs) {
    for (const [name, { type, dims, data }] of Object.entries(feeds)) {
      hash.update(`${name} ${type} ${dims.join()}`);
      hash.update(
        ArrayBuffer.isView(data)
          ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
          : Array.from<unknown>(data).join(),
      );
    }
  }
  return hash.digest('hex');
}

export function folderCheckpoint(folder: string, key: string): Checkpoint {
  const layer = (at: number) => join(folder, `layer-${at}.json`);
  return {
    async load(at) {
      const json = await readKept(layer(at), key);
      return json && readRecord(json);
    },
    async save(at, record) {
      const constants = Object.fromEntries(
        Object.entries(record.constants).map(([name, data]) => [name, toText(data)]),
      );
      const { outputWeight, ...rest } = record;
      const weight = outputWeight && { dims: outputWeight.dims, data: toText(outputWeight.data) };
      await writeKept(layer(at), { key, ...rest, constants, ...(weight && { outputWeight: weight }) });
    },
    training(task) {
      const own = createHash('sha256').update(`${key} ${task}`).digest('hex');
      // Of each its own: a way to heal may train layer after layer, and goes on behind those that are done.
      const file = join(folder, `training-${own.slice(0, 16)}.json`);
      return {
        async load() {
          const json = await readKept(file, own);
          return json && readState(json);
        },
        async save({ step, ...arrays }) {
          const texts = Object.fromEntries(Object.entries(arrays).map(([name, all]) => [name, all.map(toText)]));
          await writeKept(file, { key: own, step, ...texts });
        },
      };
    },
  };
}

/** What is in a file under this key; undefined where it is not there, not whole, or another's: it is made anew. */
async function readKept(file: string, key: string): Promise<Record<string, unknown> | undefined> {
  try {
    const json: unknown = JSON.parse(await readFile(file, 'utf8'));
    return isRecord(json) && json.key === key ? json : undefined;
  } catch {
    return undefined;
  }
}

async function writeKept(file: string, content: object): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const chunks = [new TextEncoder().encode(JSON.stringify(content))];
  await writeFilesAtomic([{ path: file, chunks }], { force: true });
}

export async function removeCheckpoint(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

interface SavedRecord extends Omit<LayerRecord, 'constants' | 'outputWeight'> {
  readonly constants: Readonly<Record<string, string>>;
  readonly outputWeight?: { readonly dims: readonly number[]; readonly data: string };
}

/** Written by save() under a key that no other program knows. */
function readRecord(json: Record<string, unknown>): LayerRecord {
  const { key: _, constants, outputWeight, ...rest } = json as unknown as SavedRecord & { readonly key: string };
  const weight: Array4 | undefined = outputWeight && { dims: outputWeight.dims, data: fromText(outputWeight.data) };
  return {
    ...rest,
    constants: Object.fromEntries(Object.entries(constants).map(([name, text]) => [name, fromText(text)])),
    ...(weight && { outputWeight: weight }),
  };
}

interface SavedState {
  readonly step: number;
  readonly parameters: readonly string[];
  readonly first: readonly string[];
  readonly second: readonly string[];
}

/** Written by save() of a training under a key that no other program knows. */
function readState(json: Record<string, unknown>): DescentState {
  const { step, parameters, first, second } = json as unknown as SavedState;
  return { step, parameters: parameters.map(fromText), first: first.map(fromText), second: second.map(fromText) };
}

function toText({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function fromText(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
}

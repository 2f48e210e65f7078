/**
 * Layers that an interrupted calibration had measured, kept in a folder beside the output until it is written: the next run
 * with the same model, data and seed goes on from there. Each file is whole or not there.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Array4 } from '../calibrate/record.js';
import type { Checkpoint, LayerRecord } from '../calibrate/survey-model.js';
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
  const file = (layer: number) => join(folder, `layer-${layer}.json`);
  return {
    async load(layer) {
      try {
        const json: unknown = JSON.parse(await readFile(file(layer), 'utf8'));
        return isRecord(json) && json.key === key ? readRecord(json) : undefined;
      } catch {
        // Not there, or not whole: it is measured.
        return undefined;
      }
    },
    async save(layer, record) {
      await mkdir(folder, { recursive: true });
      const constants = Object.fromEntries(
        Object.entries(record.constants).map(([name, data]) => [name, toText(data)]),
      );
      const { outputWeight, ...rest } = record;
      const weight = outputWeight && { dims: outputWeight.dims, data: toText(outputWeight.data) };
      const text = JSON.stringify({ key, ...rest, constants, ...(weight && { outputWeight: weight }) });
      await writeFilesAtomic([{ path: file(layer), chunks: [new TextEncoder().encode(text)] }], { force: true });
    },
  };
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

function toText({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function fromText(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);
}

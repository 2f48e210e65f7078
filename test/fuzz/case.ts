/** One case: a file, what is done to it, and what must hold for any bytes at all. */
import fc from 'fast-check';
import { PerformersError } from '../../src/errors.js';
import { linearizeChunks, restore } from '../../src/linearize.js';
import { decode } from '../../src/onnx/decode.js';
import { concat } from '../../src/onnx/encode.js';
import { readMessage, writeMessage } from '../../src/onnx/protobuf.js';
import { type MutationName, mutate, mutations, type Numbers } from './mutations.js';
import { fileOf, sources } from './sources.js';

export const plans = ['exact', 'exact-blocked', 'window:window=16', 'features:m=16'];

export interface Case {
  readonly file: string;
  readonly plan: string;
  readonly edits: readonly (Numbers & { readonly name: MutationName })[];
}

const names = Object.keys(mutations) as MutationName[];

export const anyCase: fc.Arbitrary<Case> = fc.record({
  file: fc.constantFrom(...sources),
  plan: fc.constantFrom(...plans),
  edits: fc.array(fc.record({ name: fc.constantFrom(...names), place: fc.nat(), value: fc.nat(), size: fc.nat() }), {
    minLength: 1,
    maxLength: 4,
  }),
});

export function bytesOf({ file, edits }: Case): Uint8Array {
  return mutate(fileOf(file), edits, [fileOf(sources[0] ?? ''), fileOf(sources[sources.length >> 1] ?? '')]);
}

/** Processor time that a file of so many bytes may take: a second, and 2 µs a byte (an honest file takes .1 to .3). */
export const allowedMs = (bytes: number) => 1000 + 0.002 * bytes;

export type Outcome = 'rewritten' | 'no sites' | 'refused';

/**
 * Bytes through decode, inspect, linearize and restore. What these throw is a PerformersError; what linearize gives can
 * be read; what restore gives is the original, field for field; and all of it takes time in proportion to the bytes.
 */
export async function survive(bytes: Uint8Array, plan: string): Promise<Outcome> {
  const before = process.cpuUsage();
  const outcome = await pass(bytes, plan);
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  if (ms > allowedMs(bytes.length)) throw new Error(`took ${Math.round(ms)} ms for ${bytes.length} bytes`);
  return outcome;
}

async function pass(bytes: Uint8Array, plan: string): Promise<Outcome> {
  let result: Awaited<ReturnType<typeof linearizeChunks>>;
  try {
    result = await linearizeChunks(bytes, { plan });
  } catch (error) {
    return expected(error);
  }
  const patched = concat(result.chunks);
  decode(patched);
  const restored = restore(patched, JSON.parse(JSON.stringify(result.report)));
  if (Buffer.compare(restored, bytes) !== 0 && Buffer.compare(ordered(restored), ordered(bytes)) !== 0) {
    throw new Error('restore gave another model');
  }
  return result.report.sites.length > 0 ? 'rewritten' : 'no sites';
}

function expected(error: unknown): Outcome {
  if (error instanceof PerformersError) return 'refused';
  throw error;
}

/** The file with its fields in the order of the schema: writers may have had another, which a rewrite need not keep. */
function ordered(bytes: Uint8Array): Uint8Array {
  return concat(writeMessage('ModelProto', madeAnew(readMessage('ModelProto', bytes))));
}

/** The same message, none of it the object that was read: nothing is left that remembers its bytes. */
export function madeAnew<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const copy = Array.isArray(value)
    ? value.map(madeAnew)
    : Object.fromEntries(Object.entries(value).map(([key, part]) => [key, madeAnew(part)]));
  return copy as T;
}

/** The case of a seed: the same one on every machine. */
export function caseOf(seed: number): Case {
  const [sample] = fc.sample(anyCase, { seed, numRuns: 1, unbiased: true });
  if (!sample) throw new Error('fast-check gave no case');
  return sample;
}

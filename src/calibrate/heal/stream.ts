/**
 * A model run layer after layer on many inputs. What is known of the stream before a layer is kept, so that a step computes the
 * layers since the last one and not the model from its beginning: L steps cost some two runs of the model, not L/2.
 */
import { concat, encode } from '../../onnx/encode.js';
import { extractValues } from '../../onnx/expose.js';
import type { ModelProto, ValueInfoProto } from '../../onnx/gen/onnx.js';
import { makeValueInfo } from '../../onnx/message.js';
import type { Feeds, SessionFactory, TensorLike } from '../../session.js';
import { feedsOf } from '../record.js';

export interface LayerStream {
  /**
   * Runs on every input, in order, the part of a model that computes `wanted`, from the values kept last on. Of all models given, those
   * values must be the same: computed by layers that no longer change.
   */
  run(model: ModelProto, step: StreamStep): Promise<void>;
}

export interface StreamStep {
  readonly wanted: readonly string[];
  /** What to go on from in the next step; where it is empty, or too large to keep, that is what it was. */
  readonly keep: readonly string[];
  /** What else the model takes on input i. Default: nothing. */
  readonly beside?: (i: number) => Feeds;
  /** What it gives back is awaited. */
  readonly use: (outputs: Feeds, i: number) => unknown;
}

/** Bytes kept of all inputs at most. Beyond it a step begins where the last one that was kept did. */
const memory = 256 * 2 ** 20;

/** ONNX element types that a stream may have. */
const elemTypes: Readonly<Record<string, number>> = { float32: 1, float16: 10 };

export function openStream(inputs: readonly Feeds[], createSession: SessionFactory): LayerStream {
  let kept: readonly Feeds[] = inputs.map(() => ({}));
  return {
    async run(model, { wanted, keep, beside = () => ({}), use }) {
      const given = kept[0] ?? {};
      const asked = keep.filter((name) => !(name in given));
      const part = extractValues(model, [...wanted, ...asked], Object.entries(given).map(declared));
      const session = await createSession(concat(encode(part)));
      const next: Feeds[] = [];
      let bytes = 0;
      try {
        for (const [i, feeds] of inputs.entries()) {
          const all = { ...feeds, ...kept[i], ...beside(i) };
          const outputs = await session.run(feedsOf(all, session.inputNames));
          await use(outputs, i);
          bytes += asked.reduce((sum, name) => sum + byteLength(outputs[name]), 0);
          if (bytes <= memory && asked.every((name) => outputs[name].type in elemTypes))
            next.push(Object.fromEntries(asked.map((name) => [name, outputs[name]])));
        }
      } finally {
        await session.release();
      }
      if (asked.length > 0 && next.length === inputs.length) kept = next;
    },
  };
}

function declared([name, { type, dims }]: readonly [string, TensorLike]): ValueInfoProto {
  return makeValueInfo(
    name,
    elemTypes[type],
    dims.map(() => undefined),
  );
}

function byteLength({ type, data }: TensorLike): number {
  return data.length * (type === 'float16' ? 2 : 4);
}

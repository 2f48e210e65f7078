/**
 * What a graph chooses in a loop (the blocks that are kept, lower/kept-blocks.ts) are whole numbers without a derivative, and @jax-js/onnx knows
 * no loops. A model in training chooses what it chose before: the numbers are found once for each input, by onnxruntime, and are
 * inputs of what is differentiated.
 */
import { concat, encode } from '../../onnx/encode.js';
import { extractValues } from '../../onnx/expose.js';
import type { ModelProto, NodeProto } from '../../onnx/gen/onnx.js';
import { attribute, isOp, openModel } from '../../onnx/graph.js';
import { makeValueInfo } from '../../onnx/message.js';
import type { Feeds, SessionFactory } from '../../session.js';
import { feedsOf } from '../record.js';

/** The model up to one of its outputs with its choices as inputs, and each input with them; `parameters` are inputs that all share. */
export async function withChoices(
  proto: ModelProto,
  output: string,
  given: { inputs: readonly Feeds[]; parameters: Feeds; createSession: SessionFactory },
): Promise<{ proto: ModelProto; inputs: readonly Feeds[] }> {
  const { inputs, parameters, createSession } = given;
  const names = openModel(proto).graph.nodes.flatMap((node) => (isChoice(node) ? node.output : []));
  if (names.length === 0) return { proto: extractValues(proto, [output]), inputs };
  const session = await createSession(concat(encode(extractValues(proto, names))));
  try {
    const chosen: Feeds[] = [];
    for (const feeds of inputs) {
      const found = await session.run(feedsOf({ ...feeds, ...parameters }, session.inputNames));
      chosen.push({ ...feeds, ...Object.fromEntries(names.map((name) => [name, found[name]])) });
    }
    const infos = names.map((name) => makeValueInfo(name, int64, chosen[0][name].dims));
    return { proto: extractValues(proto, [output], infos), inputs: chosen };
  } finally {
    await session.release();
  }
}

const int64 = 7;

/** A loop whose results are whole numbers. */
function isChoice(node: NodeProto): boolean {
  const results = attribute(node, 'body')?.g?.output ?? [];
  return (
    isOp(node, 'Scan') &&
    results.every(({ type }) => type?.value?.$case === 'tensorType' && type.value.value.elemType === int64)
  );
}

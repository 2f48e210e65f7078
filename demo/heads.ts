/*
 * What every attention head hands on: the context of each site as a further output of the model. These few steps on
 * the graph are not part of the public surface.
 */
import {
  compare,
  type Feeds,
  inspect,
  type LinearizeOptions,
  linearize,
  type SessionFactory,
  type Site,
  type TensorLike,
} from '../src/index.js';
import { decode } from '../src/onnx/decode.js';
import { concat, encode } from '../src/onnx/encode.js';
import { exposeValues } from '../src/onnx/expose.js';

type Context = Site['operands']['context'];

/**
 * By layer, then head: the context [N,E] in the model as it is, or linearized by a plan. Sites within subgraphs are left out:
 * no output reaches them.
 */
export async function recordHeads(
  bytes: Uint8Array,
  plan: LinearizeOptions | undefined,
  inputs: Feeds,
  createSession: SessionFactory,
): Promise<Float32Array[][]> {
  const { sites: all } = await inspect(bytes);
  const sites = all.filter(({ subgraph }) => subgraph === '');
  const contexts = sites.map(({ operands }) => operands.context);
  const exposed = concat(
    encode(
      exposeValues(
        decode(bytes),
        contexts.map(({ value }) => value),
      ),
    ),
  );
  const model = plan ? (await linearize(exposed, plan)).bytes : exposed;
  const session = await createSession(model);
  const feeds = Object.fromEntries(session.inputNames.flatMap((name) => (inputs[name] ? [[name, inputs[name]]] : [])));
  const outputs = await session.run(feeds);
  await session.release();
  return sites.map(({ heads, operands }) =>
    splitHeads(outputs[operands.context.value], operands.context.layout, heads),
  );
}

/** Relative error of every head's output, by layer. */
export function headErrors(
  got: readonly (readonly Float32Array[])[],
  want: readonly (readonly Float32Array[])[],
): number[][] {
  return want.map((heads, layer) => heads.map((head, h) => compare(got[layer]?.[h] ?? [], head).relRMS));
}

/** A batch of one, in whatever order the model keeps its axes, to one array a head. */
function splitHeads(tensor: TensorLike | undefined, layout: Context['layout'], heads: number): Float32Array[] {
  if (!tensor) throw new TypeError('the session did not return the context of a site');
  const data = Float32Array.from(tensor.data, Number);
  const size = data.length / heads;
  if (layout === 'bhnd' || layout === 'bhdn') {
    return Array.from({ length: heads }, (_, head) => data.slice(head * size, (head + 1) * size));
  }
  const width = layout === 'bnhd' ? Number(tensor.dims[3]) : Number(tensor.dims[2]) / heads;
  return Array.from({ length: heads }, (_, head) =>
    Float32Array.from({ length: size }, (_, i) => {
      const token = Math.floor(i / width);
      return data[(token * heads + head) * width + (i % width)] ?? Number.NaN;
    }),
  );
}

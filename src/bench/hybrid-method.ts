/** The plan `hybrid` by own kernels, as a model whose attention is spliced has it: the same constants, calibrated in the same way. */
import { attend } from '../kernels/attend.js';
import { hybridAttention } from '../kernels/hybrid.js';
import { linearize } from '../linearize.js';
import { decode } from '../onnx/decode.js';
import { openModel } from '../onnx/graph.js';
import { lowerings } from '../rewrite/lower/registry.js';
import { placeKernels } from '../rewrite/place-kernels.js';
import { readPlan } from '../rewrite/plan.js';
import { cutAtKernels } from '../rewrite/segments.js';
import type { Backend } from './backend.js';
import { kernelMethod } from './kernel-methods.js';
import { plainLayer } from './layer-graph.js';
import type { Method } from './method.js';
import { calibratedPlan } from './model-methods.js';
import type { LayerShape } from './shape.js';

/** Not of causal layers, whose plan no kernel serves. */
export function hybridMethod(plan: string): Method {
  const { name, options } = readPlan(plan);
  const { window, globals, codes } = options as Readonly<Record<string, number>>;
  return kernelMethod(
    {
      what: 'own kernels: window, scored globals and codebook summaries under one softmax',
      kind: 'linear',
      keyEquivalents: (_, n) => lowerings[name].keyEquivalents(options, n),
      takes: ({ causal }) => !causal,
    },
    async (shape, backend) => {
      const { exactUpTo, ...constants } = await splicedCall(plan, shape, backend);
      return {
        constants,
        record(recording, { causal: _, ...call }, { query, weights, offsets }) {
          if (call.N <= exactUpTo) return Object.values(attend(recording, call));
          const codebook = { codes, weights, offsets };
          return [hybridAttention(recording, { ...call, window, globals, query, codebook })];
        },
      };
    },
  );
}

/** What a spliced model hands to the kernel: query [H,D], weights [H,D,C], offsets [H,C], and the length up to which it is exact. */
async function splicedCall(plan: string, shape: LayerShape, backend: Backend) {
  const { bytes } = await linearize(plainLayer(shape), {
    saved: await calibratedPlan(plan, shape, backend),
    place: placeKernels(() => ({ as: 'splice', why: 'measured by itself' })),
  });
  const cut = cutAtKernels(openModel(decode(bytes)));
  const call = 'uncut' in cut ? undefined : cut.segments.flatMap(({ calls }) => calls)[0];
  const [query, weights, offsets] = call?.constants ?? [];
  if (!call || !query || !weights || !offsets) throw new TypeError(`${plan} does not take this layer`);
  return { query, weights, offsets, exactUpTo: call.attributes.exactUpTo ?? 0 };
}

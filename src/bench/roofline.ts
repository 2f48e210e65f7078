/** What a backend reaches at its best: the rate of one large product, and that of passing over memory once. */
import type { Backend } from './backend.js';
import { copyModel, matmulModel } from './layer-graph.js';
import type { Roofline } from './result.js';

/** Sizes of the matrices (a side) and the array (numbers): large enough to be past caches and start-up, small enough for wasm. */
const sides = [256, 1024];
const lengths = [2 ** 20, 2 ** 24];

/** The best of the sizes and of five runs each: a roof is what can be reached, not what is usual. */
export async function measureRoofline(backend: Backend): Promise<Roofline> {
  const products: number[] = [];
  for (const n of sides) {
    const [a, b] = [0.5, 0.25].map((x) => square(n, x));
    products.push(n ** 3 / (await fastest(backend, matmulModel(n), { a, b })));
  }
  const copies: number[] = [];
  for (const length of lengths) {
    const x = { type: 'float32', dims: [length], data: new Float32Array(length).fill(1) };
    copies.push((8 * length) / (await fastest(backend, copyModel(length), { x })));
  }
  return { multiplyAddsPerMs: Math.max(...products), copyBytesPerMs: Math.max(...copies) };
}

function square(n: number, value: number) {
  return { type: 'float32', dims: [n, n], data: new Float32Array(n * n).fill(value) };
}

async function fastest(
  backend: Backend,
  bytes: Uint8Array,
  feeds: Parameters<Awaited<ReturnType<Backend['open']>>['prepare']>[0],
): Promise<number> {
  const model = await backend.open(bytes);
  try {
    const work = await model.prepare(feeds);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 6; i++) {
      const start = performance.now();
      await work.run();
      if (i > 0) best = Math.min(best, performance.now() - start);
    }
    await work.release();
    return best;
  } finally {
    await model.release();
  }
}

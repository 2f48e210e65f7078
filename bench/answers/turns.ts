/** Processor time of models in turns, one thread: what disturbs one disturbs all. */
import { decode } from '../../src/onnx/decode.js';
import { openModel } from '../../src/onnx/graph.js';
import type { Feeds, SessionFactory } from '../../src/session.js';
import { withoutAttention } from './without-attention.js';

/** Rounds in which each model has its turn. */
const rounds = 3;

interface Timed {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What a patched model is compared with: what it was made of, and that with attention deleted. */
export function rivals(bytes: Uint8Array): readonly Timed[] {
  const model = openModel(decode(bytes));
  return [
    { name: 'original', bytes },
    { name: 'attention deleted', bytes: withoutAttention(model, { projections: true }) },
    { name: 'queries and keys deleted, too', bytes: withoutAttention(model, { projections: false }) },
  ];
}

/** The least time of each model, and its ratio to that of every rival among them. */
export async function timeInTurns(createSession: SessionFactory, models: readonly Timed[], input: Feeds) {
  const best = models.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { bytes }] of models.entries()) {
      const session = await createSession(bytes);
      try {
        // A session's first call sets memory up.
        await session.run(input);
        const before = process.cpuUsage();
        await session.run(input);
        const { user, system } = process.cpuUsage(before);
        best[i] = Math.min(best[i], (user + system) / 1000);
      } finally {
        await session.release();
      }
    }
  }
  const bases = ['original', 'attention deleted', 'queries and keys deleted, too'];
  return models.map(({ name }, i) => {
    const ratios = bases.flatMap((base) => {
      const at = models.findIndex((model) => model.name === base);
      return at < 0 ? [] : [[`÷ ${base}`, best[i] / best[at]] as const];
    });
    return { what: name, 'processor ms': best[i], ...Object.fromEntries(ratios) };
  });
}

/** Runs of a model on many inputs. */
import type { Feeds, SessionFactory, TensorLike } from '../../src/session.js';

/** First output on every input, in a session of its own. */
export async function runEach(
  createSession: SessionFactory,
  model: Uint8Array,
  inputs: readonly Feeds[],
): Promise<TensorLike[]> {
  const session = await createSession(model);
  try {
    const found: TensorLike[] = [];
    for (const feeds of inputs) {
      const output = (await session.run(feeds))[session.outputNames[0] ?? ''];
      if (!output) throw new TypeError('a model has an output');
      found.push(output);
    }
    return found;
  } finally {
    await session.release();
  }
}

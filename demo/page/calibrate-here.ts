/** A plan for every head, calibrated in the page on a little data that is built in: photos for models of images, text for others. */
import { RawImage } from '@huggingface/transformers';
import { calibrate } from '../../src/calibrate/calibrate.js';
import { PerformersError } from '../../src/errors.js';
import type { Feeds, SavedPlan, SessionFactory } from '../../src/index.js';
import { readPlan } from '../../src/rewrite/plan.js';
import { watchModel } from '../watch-model.js';
import type { Pipe, Task } from './tasks.js';

const photos = import.meta.glob<string>(
  '../../assets/default-data/images/{acanthus-mollis,camera,grace-hopper,raccoon,black-canyon,locomotion-house-cat}.jpg',
  {
    query: '?url',
    import: 'default',
    eager: true,
  },
);

export interface CalibrateHere {
  readonly bytes: Uint8Array;
  readonly pipe: Pipe;
  readonly task: Task;
  readonly plan: string;
  readonly passages: readonly string[];
  readonly createSession: SessionFactory;
  readonly onProgress: (progress: { done: number; total: number; what: string }) => void;
}

/** @throws PerformersError PF501 for models that generate, whose inputs have a cache, and as calibrate() does */
export async function calibrateHere({
  bytes,
  pipe,
  task,
  plan,
  passages,
  createSession,
  onProgress,
}: CalibrateHere): Promise<SavedPlan> {
  const seen = watchModel(pipe.model);
  const feeds: Feeds[] = [];
  const inputs = task.input === 'image' ? Object.values(photos) : passages;
  for (const [i, input] of inputs.entries()) {
    onProgress({ done: i, total: inputs.length, what: 'preparing the data' });
    await pipe(task.input === 'image' ? await RawImage.read(new URL(input, import.meta.url)) : input);
    feeds.push(seen.inputs());
  }
  if (feeds.some((feed) => Object.keys(feed).length === 0)) {
    throw new PerformersError('PF501', 'the inputs of this model could not be recorded', {
      at: 'calibrate here',
      mend: 'calibrate it on the command line: performers linearize MODEL -o OUT --budget 176',
    });
  }
  const chosen = await calibrate(bytes, feeds, createSession, {
    candidates: () => [readPlan(plan)],
    budget: Number.MAX_SAFE_INTEGER,
    keep: 0,
    heal: false,
    onProgress,
  });
  return chosen.plan;
}

/** A page whose library runs in a worker: the calls go there, the answers come back. */
import type { Page } from './run.js';

interface Call {
  readonly id: number;
  readonly name: keyof Page;
  readonly given: readonly unknown[];
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

type Functions = Readonly<Record<string, (...given: readonly unknown[]) => Promise<unknown>>>;

/** In the worker. Says `ready` when calls are heard. */
export function answerCalls(page: Page): void {
  addEventListener('message', async ({ data: { id, name, given } }: MessageEvent<Call>) => {
    try {
      postMessage({ id, value: await (page as unknown as Functions)[name](...given) } satisfies Reply);
    } catch (error) {
      postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies Reply);
    }
  });
  postMessage('ready');
}

/** In the page. @throws what the worker fails with while it starts */
export async function openInWorker(worker: Worker): Promise<Page> {
  await new Promise<void>((resolve, reject) => {
    worker.addEventListener('error', ({ message }) => reject(new Error(message)));
    worker.addEventListener('message', () => resolve(), { once: true });
  });
  const waiting = new Map<number, (reply: Reply) => void>();
  worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => waiting.get(data.id)?.(data));
  const call =
    (name: keyof Page) =>
    async (...given: readonly unknown[]) => {
      const id = waiting.size;
      const reply = await new Promise<Reply>((resolve) => {
        waiting.set(id, resolve);
        worker.postMessage({ id, name, given } satisfies Call);
      });
      if (reply.error !== undefined) throw new Error(reply.error);
      return reply.value;
    };
  const page = { depth: call('depth'), embed: call('embed'), cached: call('cached'), where: call('where') };
  return page as unknown as Page;
}

/** A whole bench: lane after lane, each started by the host (a process in Node, a worker on a page), to one result. */
import { failure, type LaneJob, type LaneMessage } from './lane.js';
import type { Method } from './method.js';
import { type MethodName, methodNames, methods } from './methods.js';
import type { BackendResult, BenchResult, Cell, Machine, NotMeasured, Roofline } from './result.js';
import { type ShapeName, shapes } from './shape.js';
import { summarise } from './summary.js';

export interface BenchBackend extends Omit<BackendResult, 'roofline'> {
  /** What can run there. */
  readonly forms: readonly Method['form'][];
}

export interface BenchOptions {
  readonly shape: ShapeName;
  /** Rising. */
  readonly lengths: readonly number[];
  /** Runs on the clock at most, of one length. */
  readonly repeats: number;
  /** Time for the runs of one length. */
  readonly limitMs: number;
  readonly seed: number;
  /** Default: all. Of these, a backend measures what it can run, in layers that they take. */
  readonly methods?: readonly MethodName[];
  readonly backends: readonly BenchBackend[];
  readonly machine: Machine;
  /** Ends the run; what there is until then is the result. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BenchProgress) => void;
}

export interface BenchProgress {
  readonly done: number;
  readonly total: number;
  readonly what: string;
  /** What was measured so far. */
  readonly cells: readonly Cell[];
}

export interface LaneEvents {
  say(message: LaneMessage): void;
  /** Once; with the reason where the lane did not come to its own end. */
  end(died?: NotMeasured): void;
}

/** Starts a lane; what it returns stops it, and `end` is called then, too. */
export type StartLane = (job: LaneJob, events: LaneEvents) => () => void;

export async function runBench(options: BenchOptions, startLane: StartLane): Promise<BenchResult> {
  const { shape, lengths, repeats, limitMs, seed, signal } = options;
  const wanted = (options.methods ?? methodNames).filter((name) => methods[name].takes(shapes[shape]));
  const lanes = options.backends.flatMap((backend) =>
    wanted.filter((name) => backend.forms.includes(methods[name].form)).map((method) => ({ backend, method })),
  );
  const cells: Cell[] = [];
  const rooflines = new Map<string, Roofline>();
  const total = lanes.length + options.backends.length;
  let done = 0;
  const progress = (what: string) => options.onProgress?.({ done, total, what, cells });
  const job = (backend: BenchBackend): LaneJob => {
    const roofline = rooflines.get(backend.name);
    return { backend: backend.name, shape, lengths, repeats, limitMs, seed, ...(roofline && { roofline }) };
  };
  for (const backend of options.backends) {
    if (signal?.aborted) break;
    // What a processor reaches in the place of a GPU is no roof of anything.
    if (!backend.adapter?.software) {
      progress(`${backend.name}: what the device reaches`);
      await follow(startLane, job(backend), signal, (message) => {
        if (message.kind === 'roofline') rooflines.set(backend.name, message.roofline);
      });
    }
    done++;
    for (const { method } of lanes.filter((lane) => lane.backend === backend)) {
      if (signal?.aborted) break;
      const key = { backend: backend.name, method };
      let open: number | undefined = lengths[0];
      const died = await follow(startLane, { ...job(backend), method }, signal, (message) => {
        if (message.kind === 'begin') progress(`${backend.name}: ${method}, ${message.n} tokens`);
        if (message.kind === 'begin') open = message.n;
        if (message.kind !== 'cell') return;
        cells.push({ ...key, n: message.n, ...message.cell });
        open = undefined;
      });
      if (died && open !== undefined && !signal?.aborted) cells.push({ ...key, n: open, ...died });
      done++;
    }
  }
  progress('');
  return {
    schema: 'performers.bench/1',
    title: titleOf(options),
    date: new Date().toISOString(),
    machine: options.machine,
    shape: { name: shape, heads: shapes[shape].heads, width: shapes[shape].width, causal: shapes[shape].causal },
    settings: { lengths, repeats, limitMs, seed },
    methods: wanted.map((name) => {
      const { kind, form, what } = methods[name];
      return { name, kind, form, what };
    }),
    backends: options.backends.map(({ forms: _, ...backend }) => {
      const roofline = rooflines.get(backend.name);
      return { ...backend, ...(roofline && { roofline }) };
    }),
    cells,
    summary: summarise(
      cells,
      new Set(options.backends.flatMap(({ name, adapter }) => (adapter?.software ? name : []))),
    ),
  };
}

/** To the lane's end; stops one that says nothing for longer than its work can take. */
function follow(
  startLane: StartLane,
  job: LaneJob,
  signal: AbortSignal | undefined,
  onMessage: (message: LaneMessage) => void,
): Promise<NotMeasured | undefined> {
  return new Promise((resolve) => {
    // Opening, calibrating and the reference in float64 have no limit of their own.
    const patience = 4 * job.limitMs + 90_000;
    let late: NotMeasured | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        late = { status: 'limit', reason: `stopped: no answer for ${Math.round(patience / 1000)} s` };
        stop();
      }, patience);
    };
    const settle = (died?: NotMeasured) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      resolve(late ?? died);
    };
    let stop = () => {};
    const abort = () => stop();
    try {
      stop = startLane(job, {
        say(message) {
          wait();
          onMessage(message);
        },
        end: settle,
      });
      signal?.addEventListener('abort', abort);
      wait();
    } catch (error) {
      settle(failure(error));
    }
  });
}

function titleOf({ shape, backends }: BenchOptions): string {
  const what = `Attention, ${shapes[shape].what}`;
  const software = backends.filter(({ adapter }) => adapter?.software);
  if (software.length === 0) return what;
  return `${what}: WebGPU on a software adapter (${software[0].adapter?.description || 'no GPU'}), which says nothing about speed`;
}

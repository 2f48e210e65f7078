/** What a bench needs of the place where models run. */
import type { Gpu } from '../kernels/gpu.js';
import type { Feeds, SessionFactory } from '../session.js';

/** Something ready to be run on inputs that are where the runtime wants them; what is timed is `run`. */
export interface Runnable {
  /** Resolves when the work is over, not when it is handed in. */
  run(): Promise<void>;
  /** Of the last run, as the layer's [1,N,H·D] in rows. */
  output(): Promise<Float32Array>;
  release(): Promise<void>;
}

export interface OpenModel {
  prepare(feeds: Feeds): Promise<Runnable>;
  release(): Promise<void>;
}

export interface Backend {
  open(bytes: Uint8Array): Promise<OpenModel>;
  /** For calibration, which no time is taken of. */
  readonly createSession: SessionFactory;
  /** Where there is WebGPU: the device of own kernels. */
  gpu?(): Promise<Gpu>;
  /** Most memory held so far, in bytes; what of is said by the result's `memory`. Undefined where it cannot be had. */
  peakBytes(): number | undefined;
}

/** A backend whose inputs and outputs lie in memory, on any runtime that makes sessions. */
export function sessionBackend(createSession: SessionFactory, peakBytes: () => number | undefined): Backend {
  return {
    createSession,
    peakBytes,
    async open(bytes) {
      const session = await createSession(bytes);
      return {
        async prepare(feeds) {
          let outputs: Feeds = {};
          return {
            async run() {
              outputs = await session.run(feeds);
            },
            async output() {
              const [first] = Object.values(outputs);
              return first?.data instanceof Float32Array ? first.data : new Float32Array(0);
            },
            release: async () => {
              outputs = {};
            },
          };
        },
        release: () => session.release(),
      };
    },
  };
}

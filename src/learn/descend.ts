/**
 * Adam (Kingma and Ba 2015, Algorithm 1) with a cosine fall of the rate to 0: β₁ = .9, β₂ = .99, ε = 1e-8. The step, loss and
 * gradient included, is compiled once; what changes from step to step goes in as an array.
 *
 * Deterministic: the order of batches and the first parameters come from seeds, sums run in one order. Cost: three arrays a parameter.
 */
import { PerformersError } from '../errors.js';
import type { Jax, JaxArray } from './peer.js';

/** A parameter or an input as numbers and shape; jax-js arrays live within a step only. */
export interface Block {
  readonly shape: readonly number[];
  /** Whole numbers are no parameters. */
  readonly data: Float32Array | Int32Array;
}

export interface Descent {
  readonly parameters: readonly Block[];
  /** Loss of parameters and inputs, all of which it consumes: jax-js counts references. */
  readonly loss: (parameters: JaxArray[], inputs: JaxArray[]) => JaxArray;
  /** The inputs of step t; the same shapes at every step. */
  readonly batch: (step: number) => readonly Block[];
  readonly steps: number;
  readonly rate: number;
  readonly onStep?: (step: number, loss: number) => void;
  /** Given the parameters after every step: a copy of each. */
  readonly onParameters?: (values: Float32Array[]) => void;
  /** Where an interrupted descent goes on: it ends with the same bits as one in one piece. */
  readonly checkpoint?: DescentCheckpoint;
}

/** All that a descent is after a step. */
export interface DescentState {
  readonly step: number;
  /** As the parameters are, with the first and second moments of their gradients. */
  readonly parameters: readonly Float32Array[];
  readonly first: readonly Float32Array[];
  readonly second: readonly Float32Array[];
}

/** What `load` gives must be of the same loss, batches, steps and rate. */
export interface DescentCheckpoint {
  load(): Promise<DescentState | undefined>;
  save(state: DescentState): Promise<void>;
}

/** Steps between two states that are kept; the last one is, too. */
const keptEvery = 10;

type State = { parameters: JaxArray[]; first: JaxArray[]; second: JaxArray[] };

const [beta1, beta2, epsilon] = [0.9, 0.99, 1e-8];

/** The parameters after the last step. @throws PerformersError PF425 for a bad rate or count, PF427 when the loss is no number */
export async function descend(
  jax: Jax,
  { parameters, loss, batch, steps, rate, onStep, onParameters, checkpoint }: Descent,
): Promise<Float32Array[]> {
  checkRate(rate);
  checkWhole('steps', steps);
  const { numpy: np } = jax;
  const array = ({ data, shape }: Block) =>
    np.array(data, { shape: [...shape], dtype: data instanceof Int32Array ? np.int32 : np.float32 });
  const arrays = (values: readonly Float32Array[]) =>
    parameters.map(({ shape }, i) => array({ shape, data: values[i] }));
  const zeros = () => parameters.map(({ shape }) => np.zeros([...shape]));
  const step = jax.jit((state: State, size: JaxArray, inputs: JaxArray[]): [JaxArray, State] => {
    const values = jax.tree.ref(state.parameters);
    const [value, gradients] = jax.valueAndGrad((p: JaxArray[]) => loss(p, inputs))(values);
    const first = state.first.map((m, i) => m.mul(beta1).add(gradients[i].ref.mul(1 - beta1)));
    const second = state.second.map((v, i) => v.mul(beta2).add(np.square(gradients[i]).mul(1 - beta2)));
    const next = state.parameters.map((p, i) =>
      p.sub(size.ref.mul(first[i].ref).div(np.sqrt(second[i].ref).add(epsilon))),
    );
    size.dispose();
    return [value, { parameters: next, first, second }];
  });
  const kept = await checkpoint?.load();
  let state: State = kept
    ? { parameters: arrays(kept.parameters), first: arrays(kept.first), second: arrays(kept.second) }
    : { parameters: parameters.map(array), first: zeros(), second: zeros() };
  const numbers = (part: keyof State) =>
    Promise.all(state[part].map(async (values) => Float32Array.from(await values.ref.data())));
  try {
    for (let t = 1 + (kept?.step ?? 0); t <= steps; t++) {
      const corrected = (rate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
      const size = np.array(corrected * 0.5 * (1 + Math.cos((Math.PI * (t - 1)) / steps)));
      const [value, after] = step(state, size, batch(t - 1).map(array));
      state = after;
      const [number] = await value.data();
      if (!Number.isFinite(number)) {
        throw new PerformersError('PF427', `the loss is ${number} at step ${t} of ${steps}`, {
          at: 'learn.rate',
          mend: `use a smaller rate than ${rate}, and inputs of about unit size`,
        });
      }
      onStep?.(t, number);
      if (onParameters) onParameters(await numbers('parameters'));
      if (checkpoint && (t % keptEvery === 0 || t === steps))
        await checkpoint.save({
          step: t,
          parameters: await numbers('parameters'),
          first: await numbers('first'),
          second: await numbers('second'),
        });
    }
    return await numbers('parameters');
  } finally {
    jax.tree.dispose(state);
    step.dispose();
  }
}

/** @throws PerformersError PF425 unless `value` is an integer ≥ 1 */
export function checkWhole(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new PerformersError('PF425', `${name} must be an integer >= 1, got ${value}`, {
    at: `learn.${name}`,
    mend: `give a whole number of ${name}`,
  });
}

function checkRate(rate: number): void {
  if (rate > 0 && Number.isFinite(rate)) return;
  throw new PerformersError('PF425', `rate must be a positive number, got ${rate}`, {
    at: 'learn.rate',
    mend: 'use rate = 0.01',
  });
}

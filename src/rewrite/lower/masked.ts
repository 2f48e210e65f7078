import type { Builder } from '../../onnx/build.js';
import { maskedBelow } from '../prove/cases.js';
import type { Inputs } from './lowering.js';

/**
 * v with the rows of masked keys set to zero: [B,H,S,E]. A softmax row over masked keys alone is uniform (their bias
 * is finite and equal), so it then gives zeros instead of the mean of padding. Other rows do not change: a masked
 * key has weight 0 there. Values stay as they are under a bias that only exact plans take, and add whole.
 */
export function unmaskedValues(build: Builder, inputs: Pick<Inputs, 'v' | 'keyBias' | 'bias'>): string {
  const { v, bias } = inputs;
  const keyBias = bias ? undefined : inputs.keyBias;
  if (!keyBias) return v;
  return build.op('Mul', [v, build.op('Transpose', [keepMask(build, keyBias)], { perm: [0, 1, 3, 2] })]);
}

/** 1 for keys that may be attended, 0 for masked ones: [B or 1, 1, 1, S]. */
export function keepMask(build: Builder, keyBias: string): string {
  return build.op('Cast', [build.op('Greater', [keyBias, build.float([maskedBelow], [])])], { to: 1 });
}

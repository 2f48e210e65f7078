/** Sums of sums on a device. See add_parts.wgsl. */
import type { GpuArray } from './array.js';
import { addPartsKernel } from './gen/add-parts.js';
import type { Recording } from './record.js';

const WG = 64;

/** Records out [L] = Σ parts [P,L], with `more` added to what `out` holds. */
export function addParts(recording: Recording, parts: GpuArray, out: GpuArray, more = false): void {
  const { length } = out;
  recording.dispatch({
    kernel: addPartsKernel,
    parameters: { WG, MORE: more },
    bindings: { parts, out },
    uniform: { length, parts: parts.length / length },
    groups: Math.ceil(length / WG),
  });
}

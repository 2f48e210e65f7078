import { gaussians, streamSeed } from '../features/rng.js';
import type { LayerInputs } from './reference.js';
import type { LayerShape } from './shape.js';

/** Inputs of N(0, 1), those of a shorter layer being the beginning of a longer one's: drawn once a token. */
export function layerInputs({ heads, width }: LayerShape, seed: number): (n: number) => LayerInputs {
  const stride = heads * width;
  const streams = [0, 1, 2].map((i) => ({ normal: gaussians(streamSeed(seed, i)), drawn: new Float32Array(0) }));
  return (n) => {
    const [q, k, v] = streams.map((stream) => {
      const { drawn, normal } = stream;
      if (drawn.length < n * stride) {
        const longer = new Float32Array(n * stride);
        longer.set(drawn);
        for (let i = drawn.length; i < longer.length; i++) longer[i] = normal();
        stream.drawn = longer;
      }
      return stream.drawn.subarray(0, n * stride);
    });
    return { n, q, k, v };
  };
}

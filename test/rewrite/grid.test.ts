/** Which graphs show that their tokens are patches of an image, and which do not. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { inspect } from '../../src/linearize.js';
import { graphFile, modelFile, noModels } from '../shared.js';

const gridsOf = (path: string) => [
  ...new Set(inspect(readFileSync(path)).sites.map(({ operands }) => operands.grid?.prefix)),
];

describe('the grid of a vision model', () => {
  it.each([
    ['vit.optimum-eager.onnx', [1]],
    ['vit.dynamo23-sdpa.onnx', [1]],
    ['vit.ort-fused.onnx', [1]],
    // A sequence of text has none, nor has one whose patches were merged or cut into windows on the way.
    ['bert.optimum-eager.onnx', [undefined]],
    ['whisper-encoder.optimum-eager.onnx', [undefined]],
    ['perceiver-latents.torchscript17.onnx', [undefined]],
  ])('%s: %j', (file, prefixes) => {
    expect(gridsOf(graphFile(file))).toEqual(prefixes);
  });

  it('is known for images of any size', () => {
    expect(gridsOf('models/vit-s14-saliency/onnx/model.onnx')).toEqual([1]);
  });

  it.skipIf(noModels)('is not seen where there is none', () => {
    expect(gridsOf(modelFile('all-MiniLM-L6-v2/onnx/model.onnx'))).toEqual([undefined]);
    expect(gridsOf(modelFile('moonshine-tiny/onnx/encoder_model.onnx'))).toEqual([undefined]);
  });
});

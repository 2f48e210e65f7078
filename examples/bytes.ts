import { readFile } from 'node:fs/promises';
import { linearize, restore } from 'performers.js';

const original = await readFile('models/vit-s14-saliency/onnx/model.onnx');
const { bytes, report } = await linearize(original, {
  plan: 'exact-blocked',
  rules: [
    { layers: [0, 1, 2], plan: 'window:window=128,globals=4' },
    { layers: 11, heads: [0, 5], plan: { name: 'features', m: 64, seed: 1 } },
  ],
});
for (const { layer, plans, why } of report.sites) console.log(layer, plans, why);

console.log(Buffer.compare(await restore(bytes, report), original) === 0); // true: undo is byte for byte

import {
  dataSamplers,
  featureMaps,
  frequencyMap,
  gram,
  kernels,
  methods,
  samplers,
  signedGram,
} from 'performers.js/features';

const d = 8;
const x = samplers.iid({ m: 50, d, seed: 1 }); // 50 rows to try on

// A kernel, its exact matrix, and features whose products estimate it.
const rbf = kernels.rbf({ d });
const exact = gram(rbf, x);
for (const method of ['rff', 'orf', 'sorf'] as const) {
  const map = methods[method](rbf, { m: 512, seed: 1 });
  console.log(method, error(signedGram(map.signs, map.phi(x)), exact).toFixed(3));
}

// Frequencies chosen by looking at the data.
const labels = Array.from({ length: 50 }, (_, i) => (x[i * d] > 0 ? 1 : -1));
const chosen = frequencyMap(d, dataSamplers['surrogate-leverage']({ d, m: 256, rows: x, labels, seed: 1 }));
console.log('surrogate-leverage', error(signedGram(chosen.signs, chosen.phi(x)), exact).toFixed(3));

// Constants of the softmax kernel for attention: Ω [heads, m, headDim] and b [heads, m].
const { omega, bias } = featureMaps.hyperbolic({ heads: 2, headDim: d, m: 64 });
console.log(omega.length, bias.length); // 1024 128

function error(got: Float64Array, want: Float64Array): number {
  const norm = (a: Float64Array) => Math.sqrt(a.reduce((sum, value) => sum + value * value, 0));
  return norm(got.map((value, i) => value - want[i])) / norm(want);
}

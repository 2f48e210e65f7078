/**
 * Which test shows what of every entry of src/features, and which mutant it refuses: a table of features-docs.ts.
 * test/features/docs.test.ts holds it to the test files and to the registries.
 */

/** A test that shows what entries of a registry are: its title as it stands in the file, the claim, and the mutant that it refuses. */
export interface Evidence {
  readonly registry: string;
  /** Default: all that no other line names. */
  readonly names?: readonly string[];
  readonly claim: string;
  readonly mutant: string;
  /** Below test/features. */
  readonly file: string;
  readonly title: string;
}

const unbiased = 'unbiased: \\|z\\| < 4 by the analytic variance';

export const EVIDENCE: readonly Evidence[] = [
  {
    registry: 'samplers',
    claim: `${unbiased}, on the RBF kernel and on exp(x·y), 250,000 draws`,
    mutant: 'Ω 1 % too long or short',
    file: 'samplers.test.ts',
    title: 'is unbiased on the RBF kernel and exp(x·y), which scales off by 1 % fail',
  },
  {
    registry: 'samplers',
    names: ['sorf'],
    claim: 'the same at d = 64 over 256,000 rows; at d = 4 it is biased by what its header says',
    mutant: 'Ω 1 % too long or short',
    file: 'samplers.test.ts',
    title: 'd = 64: no bias on the RBF kernel and exp(x·y) where scales off by 1 % show, over 256,000 rows',
  },
  {
    registry: 'applies',
    claim: "the sampler's Ω x, by naive loops, to 1e-12",
    mutant: 'a factor of 1.01, another seed',
    file: 'structured.test.ts',
    title: 'd %i, m %i: Ω and the product are those of the factors written out',
  },
  {
    registry: 'samplerTransforms',
    names: ['antithetic'],
    claim: 'pairs are negatives; its variance is that of `hyperbolic`, below',
    mutant: 'pairs of one sign, or 1 % off',
    file: 'moment-matching.test.ts',
    title: 'antithetic follows every row by its negative',
  },
  {
    registry: 'samplerTransforms',
    names: ['moment-matching'],
    claim: 'biased as derived: \\|z\\| < 4 about ₀F₁ over 400,000 draws',
    mutant: 'frequencies off by 1 %, the RBF kernel itself',
    file: 'moment-matching.test.ts',
    title: 'is biased as derived: |z| < 4 over 400,000 draws, which the RBF kernel and frequencies off by 1 % fail',
  },
  {
    registry: 'featureMaps',
    claim: `${unbiased} (R of oracles.json), 1,024,000 draws; the error itself within 5 %`,
    mutant: 'exponents off by 1 %',
    file: 'maps.test.ts',
    title: 'is unbiased: |z| < 4 by the analytic variance over 1,024,000 draws, which exponents off by 1 % fail',
  },
  {
    registry: 'asymmetricMaps',
    claim: `${unbiased}, 1,024,000 draws; the error within 5 %`,
    mutant: 'exponents off by 1 %',
    file: 'aderf.test.ts',
    title: 'is unbiased: |z| < 4 by the analytic variance over 1,024,000 draws, which exponents off by 1 % fail',
  },
  {
    registry: 'rowMaps',
    names: ['trig'],
    claim: `${unbiased}, cosh\\|x − y\\|² − 1, 512,000 frequencies`,
    mutant: 'frequencies off by 1 %',
    file: 'row-maps.test.ts',
    title: 'is unbiased: |z| < 4 by R = cosh(|x − y|²) over 512,000 frequencies, which frequencies off by 1 % fail',
  },
  {
    registry: 'rowMaps',
    names: ['relu'],
    claim: `${unbiased}, for the arc-cosine kernel of degree 1`,
    mutant: 'frequencies off by 1 %',
    file: 'relu.test.ts',
    title: 'has the arc-cosine mean: |z| < 4 by the analytic variance, which frequencies off by 1 % fail',
  },
  {
    registry: 'rowMaps',
    names: ['relu-squared', 'step', 'abs', 'elu+1', 'softplus'],
    claim: `${unbiased}, by quadrature where there is no closed form`,
    mutant: 'values off by 1 %',
    file: 'generalized.test.ts',
    title: 'is unbiased: |z| < 4 by the analytic variance, which values off by 1 % fail',
  },
  {
    registry: 'rowMaps',
    names: ['taylor2'],
    claim: 'no randomness: 1 + s + s²/2 to 1e-12',
    mutant: 's off by 1 %',
    file: 'row-maps.test.ts',
    title: 'taylor2 is 1 + s + s²/2',
  },
  {
    registry: 'rowMaps',
    names: ['polysketch'],
    claim: 'its exact expectation, which is not u⁴: \\|z\\| < 4 by the analytic variance',
    mutant: 'G off by 1 %; u⁴ for the expectation',
    file: 'polysketch.test.ts',
    title: 'degree 4 has its exact expectation: |z| < 4 by the analytic variance, which products off by 1 % fail',
  },
  {
    registry: 'rowMaps',
    names: ['cosformer'],
    claim: 'no randomness: the identity to 1e-12',
    mutant: 'positions off by one',
    file: 'row-maps.test.ts',
    title: 'weighs by relu(q)·relu(k) cos(π(i − j) / 2L) ≥ 0',
  },
  {
    registry: 'pairMaps',
    names: ['hrf'],
    claim: unbiased,
    mutant: 'frequencies of either kind off by 1 %',
    file: 'pair-maps.test.ts',
    title: 'is unbiased: |z| < 4 by the analytic variance, which frequencies off by 1 % fail',
  },
  {
    registry: 'pairMaps',
    names: ['hedgehog'],
    claim: 'no randomness: the definition to 1e-12',
    mutant: 'a factor of 1.01',
    file: 'pair-maps.test.ts',
    title: 'is two softmaxes of its own weights on each side',
  },
  {
    registry: 'landmarkMaps',
    names: ['nystrom'],
    claim: 'k(x, Z) K⁻¹ k(Z, y) by elimination, exact at landmarks, K − K̂ ≥ 0',
    mutant: 'values off by 1 %',
    file: 'landmarks/maps.test.ts',
    title: 'is k(x, Z) K_ZZ⁻¹ k(Z, y), by elimination',
  },
  {
    registry: 'landmarkMaps',
    names: ['clusters'],
    claim: 'exp(x·z_c) of the nearest landmark; never more than softmax',
    mutant: 'values off by 1 %',
    file: 'landmarks/maps.test.ts',
    title: 'weigh a key as the landmark nearest to it',
  },
  {
    registry: 'landmarkChoices',
    names: ['dpp'],
    claim: 'every pair of five rows ∝ its volume: \\|z\\| < 4',
    mutant: 'probabilities off by 1 %',
    file: 'landmarks/choices.test.ts',
    title: 'dpp: every pair with probability ∝ its volume, which probabilities off by 1 % fail',
  },
  {
    registry: 'landmarkChoices',
    names: ['rp-cholesky'],
    claim: 'the second landmark ∝ the residual: \\|z\\| < 4',
    mutant: 'probabilities off by 1 %',
    file: 'landmarks/choices.test.ts',
    title: 'rp-cholesky: the second landmark ∝ what the first leaves unexplained, which 1 % fails',
  },
  {
    registry: 'landmarkChoices',
    names: ['uniform'],
    claim: 'every pair alike: \\|z\\| < 4',
    mutant: 'probabilities off by 1 %',
    file: 'landmarks/choices.test.ts',
    title: 'uniform: every pair is as likely',
  },
  {
    registry: 'landmarkChoices',
    names: ['greedy'],
    claim: 'no randomness: the largest residual, by its definition',
    mutant: 'the second largest',
    file: 'landmarks/choices.test.ts',
    title: 'greedy: the next landmark is the one of the largest residual, by its definition',
  },
  {
    registry: 'landmarkChoices',
    names: ['k-means'],
    claim: 'centres are means of their clusters',
    mutant: 'centres off by 1 %',
    file: 'landmarks/choices.test.ts',
    title: 'k-means: centres are the means of their clusters, and clusters apart are found',
  },
  {
    registry: 'dataSamplers',
    names: ['leverage', 'surrogate-leverage'],
    claim: 'unbiased given the pool, and with it: \\|z\\| < 4 by the exact variance',
    mutant: 'frequencies off by 1 %',
    file: 'data/samplers.test.ts',
    title: 'is unbiased: |z| < 4 given the pool, by the exact variance, and with it; frequencies off by 1 % fail',
  },
  {
    registry: 'dataSamplers',
    names: ['alignment'],
    claim: 'unbiased for the learned kernel: \\|z\\| < 4 by the exact variance',
    mutant: 'frequencies off by 1 %',
    file: 'data/samplers.test.ts',
    title: 'estimates the learned kernel: |z| < 4 by the exact variance, which frequencies off by 1 % fail',
  },
  {
    registry: 'dataSamplers',
    names: ['eerf'],
    claim: 'no randomness given the pool: the largest scores, worked out naively',
    mutant: 'the next frequency in place of each',
    file: 'data/samplers.test.ts',
    title: 'EERF keeps the frequencies of the largest scores, by falling score',
  },
  {
    registry: 'methods',
    names: ['rff', 'orf', 'sorf', 'grff', 'gorf'],
    claim: `${unbiased}, for every kernel and every way of drawing its parts (SORF rows: see samplers)`,
    mutant: 'frequencies 1 % too long or short',
    file: 'signed/unbiased.test.ts',
    title: '%s: |z| < 4 by the analytic variance, which frequencies of 1.01 times the length fail',
  },
  {
    registry: 'methods',
    names: ['srf', 'dvrf'],
    claim: `${unbiased}, for the measure it fits`,
    mutant: 'frequencies off by 1 %',
    file: 'signed/unbiased.test.ts',
    title: 'is unbiased for the measure it fits: |z| < 4 by the analytic variance, which frequencies off by 1 % fail',
  },
  {
    registry: 'methods',
    names: ['maclaurin'],
    claim: unbiased,
    mutant: 'a factor of 1.01',
    file: 'signed/sketches.test.ts',
    title: '%s: |z| < 4 by the analytic variance, which a factor of 1.01 fails',
  },
  {
    registry: 'methods',
    names: ['tensor-sketch'],
    claim: `${unbiased}, derived in the test`,
    mutant: 'a factor of 1.01',
    file: 'signed/sketches.test.ts',
    title: 'of degree %i is unbiased: |z| < 4 by the analytic variance, which a factor of 1.01 fails',
  },
  {
    registry: 'kernels',
    claim: 'its definition, on rows drawn at random, to rounding',
    mutant: 'coordinates 1 % too large',
    file: 'kernels/kernels.test.ts',
    title: 'is its definition, and not that of coordinates 1 % too large',
  },
  {
    registry: 'schemes',
    names: ['stochastic'],
    claim: `${unbiased} given the features`,
    mutant: 'a range 1 % off',
    file: '../quant/schemes.test.ts',
    title: 'is unbiased given the features, with the analytic variance; a range 1 % off is seen',
  },
  {
    registry: 'schemes',
    names: ['universal'],
    claim: `${unbiased}, π²/8 − k²`,
    mutant: 'levels off by 1 %',
    file: '../quant/schemes.test.ts',
    title: 'is unbiased with m·Var = π²/8 − k²; levels 1 % off are seen',
  },
  {
    registry: 'schemes',
    names: ['nearest', 'lloyd-max'],
    claim:
      'biased as derived: \\|z\\| < 4 about the series of its staircase (values are bounded: variance of the sample)',
    mutant: 'the series off by 1 %',
    file: '../quant/schemes.test.ts',
    title: 'has the expectation of its series, which is not the kernel at low widths',
  },
  {
    registry: 'schemes',
    names: ['frequencies'],
    claim: 'the kernel of the quantised law: \\|z\\| < 4 (cosines are bounded: variance of the sample)',
    mutant: 'that kernel off by 1 %',
    file: '../quant/schemes.test.ts',
    title: 'give the kernel of their own law: the product of its characteristic functions',
  },
  {
    registry: 'schemes',
    names: ['weights'],
    claim: 'no estimate: its error is within its budget, and the budget within twice the error',
    mutant: 'an error twice as large, or half',
    file: '../quant/budget.test.ts',
    title: 'errs by at most its budget, and the budget is at most twice its error',
  },
];

/** Bad input: what is given, what comes back, and the test. */
export const BAD_INPUT: readonly Pick<Evidence, 'claim' | 'file' | 'title'>[] = [
  {
    claim: 'NaN, m = 0, a width that is not d, a bad seed, to every entry: PF202 or PF413',
    file: 'bad-input.test.ts',
    title: '%s',
  },
  {
    claim: 'a negative or missing bandwidth or parameter of a kernel: PF410',
    file: 'kernels/kernels.test.ts',
    title: '%s',
  },
  {
    claim: 'rows off the sphere: PF413',
    file: 'kernels/kernels.test.ts',
    title: 'rows off the sphere, for kernels that live there',
  },
  {
    claim: 'a kernel with no valid signed split: PF411',
    file: 'signed/methods.test.ts',
    title: 'is refused by name, with the remedy',
  },
  {
    claim: 'too few channels for a signed measure: PF412',
    file: 'signed/methods.test.ts',
    title: 'are refused with the least that will do',
  },
  {
    claim: 'SORF at a width that is no power of two: no error, padded with zeros, as its header says',
    file: 'structured.test.ts',
    title: 'SORF pads a width that is no power of two with zeros: the product is that of the padded row',
  },
  {
    claim: 'moments that are no covariances: PF202',
    file: 'aderf.test.ts',
    title: 'refuses no energy, NaN, a wrong width and m = 0',
  },
  {
    claim: 'labels that are missing, too many, or all 0: PF401',
    file: 'data/samplers.test.ts',
    title: 'must be there, one a row, finite, and not all 0',
  },
];

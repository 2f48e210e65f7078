import { describe, expect, it } from 'vitest';
import { circulantApply, circulantBlock, signedCirculant } from '../../src/features/circulant.js';
import { fastfood, fastfoodApply, fastfoodBlock } from '../../src/features/fastfood.js';
import { type Draw, iidGaussian } from '../../src/features/gaussian.js';
import { streamSeed } from '../../src/features/rng.js';
import { sorfApply, sorfBlock, structuredOrthogonal } from '../../src/features/sorf.js';
import { close, expectMutantFails } from '../close.js';

type Dense = readonly (readonly number[])[];

const times = (a: Dense, b: Dense): Dense =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
const square = (p: number, entry: (r: number, c: number) => number): Dense =>
  Array.from({ length: p }, (_, r) => Array.from({ length: p }, (_, c) => entry(r, c)));
const diagonal = (values: Float64Array) => square(values.length, (r, c) => (r === c ? values[r] : 0));
const bits = (x: number) => x.toString(2).replaceAll('0', '').length;
const hadamard = (p: number) => square(p, (r, c) => (bits(r & c) % 2 ? -1 : 1));

/** One block each, written out as the product of dense factors that the paper has. */
const blocks = {
  sorf: (d: number, seed: number): Dense => {
    const { signs, norms } = sorfBlock(d, seed);
    const p = norms.length;
    const h = hadamard(p).map((row) => row.map((x) => x / Math.sqrt(p)));
    const factors = [diagonal(norms), h, diagonal(signs[2]), h, diagonal(signs[1]), h, diagonal(signs[0])];
    return factors.reduce(times);
  },
  fastfood: (d: number, seed: number): Dense => {
    const { signs, source, gains, norms } = fastfoodBlock(d, seed);
    const p = norms.length;
    const length = Math.hypot(...gains) * Math.sqrt(p);
    const turned = square(p, (r, c) => (c === source[r] ? 1 : 0));
    const s = diagonal(norms.map((norm) => norm / length));
    return [s, hadamard(p), diagonal(gains), turned, hadamard(p), diagonal(signs)].reduce(times);
  },
  circulant: (d: number, seed: number): Dense => {
    const { g, signs } = circulantBlock(d, seed);
    return times(
      square(d, (r, c) => g[(c - r + d) % d]),
      diagonal(signs),
    );
  },
};

const structured = {
  sorf: { sampler: structuredOrthogonal, apply: sorfApply },
  fastfood: { sampler: fastfood, apply: fastfoodApply },
  circulant: { sampler: signedCirculant, apply: circulantApply },
};

/** Ω [m,d]: blocks one above the other, cut to m rows and d columns. */
function written(name: keyof typeof blocks, { m, d, seed }: Draw): number[] {
  const rows: (readonly number[])[] = [];
  for (let b = 0; rows.length < m; b++) rows.push(...blocks[name](d, streamSeed(seed, b)));
  return rows.slice(0, m).flatMap((row) => row.slice(0, d));
}

describe.each(['sorf', 'fastfood', 'circulant'] as const)('%s', (name) => {
  const { sampler, apply } = structured[name];

  it.each([
    [1, 1],
    [1, 5],
    [3, 10],
    [8, 8],
    [16, 40],
    [20, 33],
  ])('d %i, m %i: Ω and the product are those of the factors written out', (d, m) => {
    const draw = { m, d, seed: 11 };
    const omega = written(name, draw);
    const x = iidGaussian({ m: 3, d, seed: 5 });
    const product = (scale: number) =>
      Array.from({ length: 3 * m }, (_, at) => {
        const [n, r] = [Math.floor(at / m), at % m];
        let sum = 0;
        for (let i = 0; i < d; i++) sum += scale * omega[r * d + i] * x[n * d + i];
        return sum;
      });
    close(sampler(draw), omega, 1e-12);
    close(apply(draw)(x), product(1), 1e-12);
    expectMutantFails(() => close(apply(draw)(x), product(1.01), 1e-12));
    expectMutantFails(() => close(apply({ ...draw, seed: 12 })(x), product(1), 1e-12));
  });

  it('refuses x that is not rows of d, and counts below 1', () => {
    expect(() => apply({ m: 4, d: 4, seed: 0 })(new Float64Array(6))).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  x must hold rows of d = 4 numbers, got 6 numbers
        at   features.apply
        mend pass a row-major [n, 4] array of n * 4 numbers]
    `);
    expect(() => apply({ m: 0, d: 4, seed: 0 })).toThrow(/PF202 {2}m must be an integer >= 1, got 0/);
    expect(() => apply({ m: 4, d: 1.5, seed: 0 })).toThrow(/PF202 {2}d must be an integer >= 1, got 1.5/);
    expect(() => apply({ m: 4, d: 4, seed: -1 })).toThrow(/PF202 {2}seed must be an integer/);
  });
});

it('rows of one SORF block are orthogonal to 1e-12 when d is a power of two', () => {
  const check = (omega: Float64Array) => {
    for (let a = 0; a < 16; a++) {
      for (let b = 0; b < a; b++) {
        let dot = 0;
        for (let i = 0; i < 16; i++) dot += omega[a * 16 + i] * omega[b * 16 + i];
        expect(Math.abs(dot)).toBeLessThan(1e-12 * 16);
      }
    }
  };
  check(structuredOrthogonal({ m: 16, d: 16, seed: 1 }));
  expectMutantFails(() => check(fastfood({ m: 16, d: 16, seed: 1 })));
});

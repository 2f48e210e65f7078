import { describe, expect, it } from 'vitest';
import { circulantApply, circulantBlock, signedCirculant } from '../../src/features/circulant.js';
import { fastfood, fastfoodApply, fastfoodBlock } from '../../src/features/fastfood.js';
import { type Draw, iidGaussian } from '../../src/features/gaussian.js';
import { budgeted, pModelApply } from '../../src/features/p-model.js';
import type { applies } from '../../src/features/registry.js';
import { streamSeed } from '../../src/features/rng.js';
import { sorfApply, sorfBlock, structuredOrthogonal } from '../../src/features/sorf.js';
import { sphericalBlock, sphericalSet, sphericalStructured, ssfApply } from '../../src/features/ssf.js';
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
  'p-model': (d: number, seed: number): Dense => {
    const terms = [0, 1, 2, 3].map((k) => blocks.circulant(d, streamSeed(seed, k)));
    return square(d, (r, c) => terms.reduce((sum, term) => sum + term[r][c], 0) / 2);
  },
  ssf: (d: number, seed: number): Dense => {
    const { n, rows, rotation, norms } = sphericalBlock(d, seed);
    const h = rows.length;
    const rotated: Dense = Array.from({ length: 2 * h }, (_, k) => [...rotation.subarray(k * d, (k + 1) * d)]);
    const directions = Array.from({ length: 2 * n }, (_, r) => {
      const angles = rows.map((k) => (2 * Math.PI * k * (r >> 1)) / n);
      const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)];
      const corner = r % 2 === 0 ? [...cos, ...sin] : [...sin.map((s) => -s), ...cos];
      return corner.map((value) => (norms[r] * value) / Math.sqrt(h));
    });
    return times(directions, rotated);
  },
};

const structured = {
  sorf: { sampler: structuredOrthogonal, apply: sorfApply },
  fastfood: { sampler: fastfood, apply: fastfoodApply },
  circulant: { sampler: signedCirculant, apply: circulantApply },
  'p-model': { sampler: budgeted, apply: pModelApply },
  ssf: { sampler: sphericalStructured, apply: ssfApply },
} satisfies Record<keyof typeof applies, unknown>;

/** Ω [m,d]: blocks one above the other, cut to m rows and d columns. */
function written(name: keyof typeof blocks, { m, d, seed }: Draw): number[] {
  const rows: (readonly number[])[] = [];
  for (let b = 0; rows.length < m; b++) rows.push(...blocks[name](d, streamSeed(seed, b)));
  return rows.slice(0, m).flatMap((row) => row.slice(0, d));
}

describe.each(['sorf', 'fastfood', 'circulant', 'p-model', 'ssf'] as const)('%s', (name) => {
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

it('SORF pads a width that is no power of two with zeros: the product is that of the padded row', () => {
  const x = iidGaussian({ m: 1, d: 5, seed: 1 });
  const padded = Float64Array.from({ length: 8 }, (_, i) => x[i] ?? 0);
  close(sorfApply({ m: 20, d: 5, seed: 3 })(x), sorfApply({ m: 20, d: 8, seed: 3 })(padded), 1e-14);
  padded[5] = 1;
  expectMutantFails(() =>
    close(sorfApply({ m: 20, d: 5, seed: 3 })(x), sorfApply({ m: 20, d: 8, seed: 3 })(padded), 1e-14),
  );
});

describe('p-model', () => {
  /** E cosh c − 1 over the signs of rank · d bits, c the covariance of two rows at distance s along x. */
  function coshLess1(x: readonly number[], s: number, rank: number): number {
    const d = x.length;
    let sum = 0;
    for (let bits = 0; bits < 2 ** (rank * d); bits++) {
      let c = 0;
      for (let k = 0; k < rank; k++) {
        const sign = (j: number) => ((bits >> (k * d + (j % d))) & 1 ? -1 : 1);
        for (let j = 0; j < d; j++) c += (sign(j) * sign(j + s) * x[j] * x[(j + s) % d]) / rank;
      }
      sum += Math.cosh(c) - 1;
    }
    return sum / 2 ** (rank * d);
  }

  it('errs on the RBF kernel as its covariance says, less for a larger rank and never below iid', () => {
    const x = [0.9, -0.8, 1.1, 0.7];
    const t = x.reduce((sum, a) => sum + a * a, 0);
    const [d, draws, kernel] = [4, 60_000, Math.exp(-t / 2)];
    const single = (1 - Math.exp(-t)) ** 2 / 2;
    const law = (rank: number) =>
      Math.sqrt((single + [1, 2, 3].reduce((sum, s) => sum + Math.exp(-t) * coshLess1(x, s, rank), 0)) / d);
    const measured = (rank: number) => {
      let total = 0;
      for (let seed = 0; seed < draws; seed++) {
        const omega = budgeted({ m: d, d, seed, rank });
        let mean = 0;
        for (let r = 0; r < d; r++) mean += Math.cos(x.reduce((sum, a, i) => sum + a * omega[r * d + i], 0)) / d;
        total += (mean - kernel) ** 2;
      }
      return Math.sqrt(total / draws);
    };
    const check = (rank: number, want: number) => expect(Math.abs(measured(rank) / want - 1)).toBeLessThan(0.015);
    expect([law(1), law(2), law(4)].map((value) => value / Math.sqrt(single / d))).toEqual(
      [1.385, 1.163, 1.07].map((ratio) => expect.closeTo(ratio, 3)),
    );
    check(1, law(1));
    check(4, law(4));
    expectMutantFails(() => check(1, law(2)));
    expectMutantFails(() => check(4, Math.sqrt(single / d)));
  });

  it('refuses a rank below 1', () => {
    expect(() => budgeted({ m: 4, d: 4, seed: 0, rank: 0 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  rank must be an integer >= 1, got 0
        at   features.rank
        mend use rank = 4, or more for rows that depend less on one another]
    `);
    expect(() => pModelApply({ m: 4, d: 4, seed: 0, rank: 1.5 })).toThrow(/PF202 {2}rank must be an integer >= 1/);
  });
});

describe('ssf', () => {
  it.each([1, 2, 3, 4, 8, 16, 63, 64, 100])('d %i: points are a tight frame, of coherence below √n / h', (d) => {
    const { n, rows } = sphericalSet(d);
    const h = rows.length;
    expect([h, (n - 1) % h, new Set(rows).size]).toEqual([Math.ceil(d / 2), 0, h]);
    const check = (set: readonly number[]) => {
      // Σⱼ exp(2πi(k − l)j/n) = 0 for k ≠ l is the frame; the largest inner product of two points the coherence.
      for (let j = 1; j < n; j++) {
        const inner = [Math.cos, Math.sin].map((f) =>
          set.reduce((sum, k) => sum + f((2 * Math.PI * k * j) / n) / set.length, 0),
        );
        for (const value of inner) expect(Math.abs(value)).toBeLessThan(Math.sqrt(n) / h + 1e-12);
      }
    };
    check(rows);
    // Rows in a run: points that follow one another are all but the same.
    if (h < (n - 1) / 2 && h > 2) expectMutantFails(() => check(rows.map((_, k) => k + 1)));
  });

  it('Ω of a whole block has second moment |ρ|² I over the unit rows, to 1e-12', () => {
    const d = 8;
    const { n } = sphericalSet(d);
    const frame = (omega: Float64Array) => {
      const sum = new Float64Array(d * d);
      for (let r = 0; r < 2 * n; r++) {
        const row = omega.subarray(r * d, (r + 1) * d);
        const length = row.reduce((total, a) => total + a * a, 0);
        for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) sum[i * d + j] += (row[i] * row[j]) / length;
      }
      return sum;
    };
    const want = Float64Array.from({ length: d * d }, (_, i) => (i % (d + 1) === 0 ? (2 * n) / d : 0));
    const check = (omega: Float64Array) => close(frame(omega), want, 1e-12);
    check(sphericalStructured({ m: 2 * n, d, seed: 3 }));
    expectMutantFails(() => check(iidGaussian({ m: 2 * n, d, seed: 3 })));
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

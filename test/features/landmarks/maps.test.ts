import { describe, expect, it } from 'vitest';
import { clusters } from '../../../src/features/landmarks/clusters.js';
import { kMeans } from '../../../src/features/landmarks/k-means.js';
import { nystrom } from '../../../src/features/landmarks/nystrom.js';
import { landmarkChoices } from '../../../src/features/registry.js';
import { gaussians } from '../../../src/features/rng.js';
import { symmetricEigen } from '../../../src/features/symmetric-eigen.js';
import { close, expectMutantFails } from '../../close.js';

const [n, d, m] = [24, 3, 6];
const rows = Float64Array.from({ length: n * d }, gaussians(6)).map((value) => 0.7 * value);
const row = (i: number) => rows.subarray(i * d, (i + 1) * d);
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i], 0);
const products = (a: Float64Array, b: Float64Array, width: number) =>
  Array.from({ length: (a.length / width) * (b.length / width) }, (_, at) => {
    const [i, j] = [Math.floor(at / (b.length / width)), at % (b.length / width)];
    return dot(a.subarray(i * width, (i + 1) * width), b.subarray(j * width, (j + 1) * width));
  });

describe('Nyström', () => {
  const choose = landmarkChoices.greedy;
  const landmarks = choose({ d, m, rows });
  const map = nystrom({ d, m, rows, choose });

  it('is exp(x·y) wherever one of the two is a landmark', () => {
    const got = products(map.query(landmarks), map.key(rows), m);
    const want = (slip: number) => products(landmarks, rows, d).map((value) => Math.exp(slip * value));
    close(got, want(1), 1e-9);
    expectMutantFails(() => close(got, want(1.01), 1e-9));
  });

  it('is k(x, Z) K_ZZ⁻¹ k(Z, y), by elimination', () => {
    // Solve K_ZZ a = k(Z, y) for every y; the softmax kernel itself, which differs from the Gaussian one by factors only.
    const k = (a: Float64Array, b: Float64Array) => Math.exp(dot(a, b));
    const z = (c: number) => landmarks.subarray(c * d, (c + 1) * d);
    const system = Array.from({ length: m }, (_, a) => [
      ...Array.from({ length: m }, (_, b) => k(z(a), z(b))),
      ...Array.from({ length: n }, (_, j) => k(z(a), row(j))),
    ]);
    for (let p = 0; p < m; p++) {
      for (let a = 0; a < m; a++) {
        if (a === p) continue;
        const factor = system[a][p] / system[p][p];
        system[a] = system[a].map((value, c) => value - factor * system[p][c]);
      }
    }
    const want = Array.from({ length: n * n }, (_, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      return system.reduce((sum, line, c) => sum + (k(row(i), z(c)) * line[m + j]) / line[c], 0);
    });
    const got = products(map.query(rows), map.key(rows), m);
    close(got, want, 1e-8);
    expectMutantFails(() =>
      close(
        got,
        want.map((value) => 1.01 * value),
        1e-8,
      ),
    );
    expectMutantFails(() => close(products(rows, rows, d).map(Math.exp), want, 1e-8));
  });

  it('leaves a positive semi-definite rest', () => {
    const got = products(map.query(rows), map.key(rows), m);
    const check = (size: number) => {
      const rest = products(rows, rows, d).map((value, at) => Math.exp(value) - size * got[at]);
      const { values } = symmetricEigen(rest, n);
      expect(values[n - 1]).toBeGreaterThan(-1e-9 * values[0]);
    };
    check(1);
    expectMutantFails(() => check(1.01));
  });

  it('does not blow up where landmarks coincide', () => {
    const twice = Float64Array.from({ length: 6 * d }, (_, at) => rows[at % (3 * d)]);
    const { query, key } = nystrom({ d, m: 6, rows: twice, choose: (options) => Float64Array.from(options.rows) });
    close(products(query(twice), key(twice), 6), products(twice, twice, d).map(Math.exp), 1e-6);
    expect(() => nystrom({ d: 1, m: 1, rows: [0] }).query([50])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  exp(|x|²/2) must be finite, got |x|²/2 = 1250
        at   features.x
        mend normalise the rows of x, or use a map of the double-softmax form]
    `);
  });
});

describe('key clusters', () => {
  it('weigh a key as the landmark nearest to it', () => {
    const landmarks = kMeans({ d, m, rows });
    const map = clusters({ d, m, rows });
    const nearest = (i: number) => {
      const distances = Array.from({ length: m }, (_, c) =>
        row(i).reduce((sum, value, l) => sum + (value - landmarks[c * d + l]) ** 2, 0),
      );
      return landmarks.subarray(distances.indexOf(Math.min(...distances)) * d).subarray(0, d);
    };
    const got = products(map.query(rows), map.key(rows), m);
    const want = (slip: number) =>
      Array.from({ length: n * n }, (_, at) => Math.exp(slip * dot(row(Math.floor(at / n)), nearest(at % n))));
    close(got, want(1), 1e-12);
    expectMutantFails(() => close(got, want(1.01), 1e-12));
  });

  it('give no query more weight than softmax does (Jensen), with k-means', () => {
    const map = clusters({ d, m, rows });
    const got = products(map.query(rows), map.key(rows), m);
    const check = (size: number) => {
      for (let i = 0; i < n; i++) {
        let [mass, exact] = [0, 0];
        for (let j = 0; j < n; j++) {
          mass += size * got[i * n + j];
          exact += Math.exp(dot(row(i), row(j)));
        }
        expect(mass).toBeLessThan(exact);
      }
    };
    check(1);
    expectMutantFails(() => check(1.5));
  });

  it('are exact with every key a landmark', () => {
    const map = clusters({ d, m: n, rows, choose: landmarkChoices.uniform });
    const got = products(map.query(rows), map.key(rows), n);
    close(got, products(rows, rows, d).map(Math.exp), 1e-12);
    expect(() => map.query([400, 400, 400])).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF202  exp(x·z) must be finite, got x·z = 979.4429636378418
        at   features.x
        mend normalise the rows of x, or use a map of the double-softmax form]
    `);
  });
});

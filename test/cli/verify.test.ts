import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { graphFile } from '../shared.js';
import { performers, scratchFolder } from './performers.js';

const scratch = scratchFolder();
const bert = graphFile('bert.optimum-eager.onnx');
// Longer than a block of exact attention, whose sums then run in another order.
const long = graphFile('modernbert.optimum-sdpa.onnx');
const exact = join(scratch, 'exact.onnx');
const linear = join(scratch, 'linear.onnx');

beforeAll(async () => {
  await performers('linearize', bert, '-o', exact);
  await performers('linearize', bert, '-o', linear, '--plan', 'features:m=16');
});

describe('verify', () => {
  test('JSON of the same answers: exit 0', async () => {
    const { code, stdout } = await performers('verify', bert, exact, '--lengths', '7,21', '--batch', '2', '--json');
    expect(code).toBe(0);
    const figures = { ms: expect.any(Number), peakMB: expect.any(Number) };
    expect(JSON.parse(stdout)).toEqual({
      schema: 'performers.verify/1',
      file: 'bert.optimum-eager.onnx',
      maxError: 1e-3,
      holds: true,
      outputs: [{ name: 'last_hidden_state', relRMS: expect.any(Number), maxAbs: expect.any(Number) }],
      runs: [7, 21].map((n) => ({ n, runtime: 'node', original: figures, patched: figures })),
    });
  });

  test('other answers: exit 1, and the table says so', async () => {
    const { code, stdout } = await performers('verify', bert, linear, '--lengths', '21', '--runtime', 'both');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^tokens +runtime +original ms +patched ms +speed/m);
    expect(stdout).toMatch(/^ +21 +wasm/m);
    expect(stdout).toContain('does not hold: relRMS at most 1.0e-3');
  });

  test('and 0 where that much is allowed', async () => {
    const { code } = await performers('verify', bert, linear, '--lengths', '21', '--max-error', '10');
    expect(code).toBe(0);
  });

  test('inputs from a file', async () => {
    const input = graphFile('bert.optimum-eager.io.json');
    const { code, stdout } = await performers('verify', bert, exact, '--input', input, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).runs).toMatchObject([{ n: 13 }]);
  });

  test('a length that the original cannot run is a row, not a failure; none that it can is one', async () => {
    const both = await performers('verify', bert, exact, '--lengths', '7,4000', '--json');
    expect(both.code).toBe(0);
    expect(JSON.parse(both.stdout).runs[1]).toMatchObject({ n: 4000, original: { error: { code: 'PF302' } } });
    const none = await performers('verify', bert, exact, '--lengths', '4000');
    expect(none.code).toBe(1);
    expect(none.stdout).toContain('original at 4000 tokens: the model failed to run');
  });

  test('a patched model that fails where the original runs does not hold', async () => {
    const { code, stdout } = await performers(
      'verify',
      bert,
      join(scratch, 'exact.performers.json'),
      '--lengths',
      '7',
      '--json',
    );
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ holds: false, runs: [{ patched: { error: { code: 'PF301' } } }] });
  });
});

describe('verify --identity', () => {
  test('holds on a model', async () => {
    const { code, stdout } = await performers('verify', '--identity', bert, '--json');
    expect(code).toBe(0);
    const { schema, files } = JSON.parse(stdout);
    expect(schema).toBe('performers.identity/1');
    expect(files).toMatchObject([{ file: bert, runtime: 'node', sites: 2, maxError: 1e-5, holds: true }]);
    expect(files[0].plans.map(({ plan }: { plan: string }) => plan)).toEqual(['exact', 'exact-blocked']);
    const names = files[0].plans[0].cases.map(({ name }: { name: string }) => name);
    expect(names).toEqual([
      'N = 1',
      'N = 2',
      'N = 17',
      'N = 13, batch 3, padded right',
      'N = 13, batch 3, padded left',
      'N = 301',
      'N = 301, batch 2, padded right',
    ]);
  });

  test('exits 1 when the bound is not kept', async () => {
    const { code, stdout } = await performers('verify', '--identity', long, '--max-error', '0');
    expect(code).toBe(1);
    expect(stdout).toContain('DOES NOT HOLD');
  });
});

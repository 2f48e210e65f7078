import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { uniforms } from '../../src/features/rng.js';
import { performers, scratchFolder } from './performers.js';

/** 120 letters, the first coordinate of which tells A from B. */
const data = scratchFolder();
const uniform = uniforms(5);
const rows = Array.from({ length: 120 }, (_, i) =>
  [
    i % 2 ? 'A' : 'B',
    (i % 2 ? 2 : 12) + Math.floor(3 * uniform()),
    ...Array.from({ length: 15 }, () => Math.floor(16 * uniform())),
  ].join(','),
);
mkdirSync(join(data, 'uci'));
writeFileSync(join(data, 'uci/letter-recognition.data'), rows.join('\n'));
const run = (...args: string[]) =>
  performers('features', '--data', 'letter', '--data-dir', data, '--train', '80', '--test', '40', ...args);

describe('performers features', () => {
  it('prints JSON rows of the schema, and writes the plot', async () => {
    const plot = join(data, 'plot.svg');
    const { code, stdout, stderr } = await run(
      '--kernel',
      'tl1',
      '--m',
      '32,64',
      '--seeds',
      '2',
      '--json',
      '--plot',
      plot,
    );
    expect([code, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      schema: 'performers.features/1',
      kernel: 'tl1',
      data: 'letter',
      train: 80,
      test: 40,
    });
    for (const row of result.rows) {
      expect(Object.keys(row)).toEqual(['data', 'kernel', 'method', 'm', 'seed', 'error', 'ms', 'bytes', 'accuracy']);
    }
    // 80 rows of noise but for one coordinate: better than a coin, on the mean of all.
    const accuracies: number[] = result.rows.map(({ accuracy }: { accuracy: number }) => accuracy);
    expect(accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length).toBeGreaterThan(0.55);
    expect(new Set(result.rows.map(({ method }: { method: string }) => method))).toContain('gorf');
    const svg = readFileSync(plot, 'utf8');
    for (const text of ['<svg', 'gorf', 'grff', 'exact', 'bytes a stored row', 'm, channels', '>64<'])
      expect(svg).toContain(text);
    expect((await run('--kernel', 'tl1', '--m', '32', '--plot', plot)).stderr).toContain('PF108');
  });

  it('prints a table of means', async () => {
    const { code, stdout } = await run('--kernel', 'rbf', '--method', 'orf,nearest@4', '--m', '64', '--no-accuracy');
    expect(code).toBe(0);
    expect(stdout).toContain('rbf on letter: 40 rows compared; means of 3 seeds');
    expect(stdout).toMatch(/nearest@4 +64 +0\.\d+ +[\d.e-]+ +32 +-/);
  });

  it('helps with examples and with the names of the registries', async () => {
    const { code, stdout } = await performers('features', '--help');
    expect(code).toBe(0);
    for (const text of ['Examples:', 'delta-gaussian', 'tensor-sketch', 'universal@1', 'cifar10'])
      expect(stdout).toContain(text);
  });

  it.each([
    [['--kernel', 'tl2'], "PF430  there is no kernel 'tl2'", "did you mean 'tl1'?"],
    [['--kernel', 'rbf', '--method', 'maclaurn'], "PF430  there is no method 'maclaurn'", "did you mean 'maclaurin'?"],
    [['--kernel', 'tl1', '--method', 'rff'], 'PF411  rff cannot make features of the tl1 kernel', 'use grff or gorf'],
    [['--kernel', 'rbf', '--m', '0'], 'PF202', "'0' is no whole number above 0"],
    [['--kernel', 'rbf', '--bandwidth', '-1'], 'PF202', "'-1' is no number above 0"],
    [['--kernel', 'rbf', '--c', 'NaN'], 'PF202', "'NaN' is no number above 0"],
    [['--kernel', 'rbf', '--train', '1'], 'PF423  train must be an integer >= 2, got 1', 'use train = 1000'],
    [['--kernel', 'rbf', '--method', 'rff,'], 'PF202', "'rff,' is no list of names"],
  ])('%j exits 2 and says what to do', async (args, message, mend) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain(mend);
  });

  it('says where it sought data that is missing', async () => {
    const { code, stderr } = await performers('features', '--kernel', 'rbf', '--data', 'eeg', '--data-dir', data);
    expect(code).toBe(2);
    expect(stderr).toContain(
      `PF428  data set 'eeg' is missing: uci/EEG_Eye_State.arff was not found\n  at   ${join(data, 'uci/EEG_Eye_State.arff')}`,
    );
  });
});

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { entriesOf, featuresDocs, namesOf } from '../../scripts/features-docs.js';
import { BAD_INPUT, EVIDENCE } from '../../scripts/features-evidence.js';
import * as features from '../../src/features/index.js';
import { schemes } from '../../src/quant/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(`${root}docs/features.md`, 'utf8');
/** Of the public entries, what is no function. */
const exported = new Map<string, object>(
  Object.entries({ ...features, schemes }).flatMap(([name, value]) =>
    typeof value === 'object' ? [[name, value] as const] : [],
  ),
);
const registries = [
  ['registry.ts', 'samplers'],
  ['registry.ts', 'applies'],
  ['registry.ts', 'samplerTransforms'],
  ['registry.ts', 'featureMaps'],
  ['registry.ts', 'asymmetricMaps'],
  ['registry.ts', 'rowMaps'],
  ['registry.ts', 'pairMaps'],
  ['registry.ts', 'landmarkMaps'],
  ['registry.ts', 'landmarkChoices'],
  ['registry.ts', 'dataSamplers'],
  ['signed/registry.ts', 'methods'],
  ['kernels/registry.ts', 'kernels'],
  ['../quant/registry.ts', 'schemes'],
] as const;

describe('docs/features.md', () => {
  it('is what scripts/features-docs.ts writes', () => {
    expect(page).toBe(featuresDocs());
  });

  it.each(registries)('%s: every entry of %s is on the page', (file, registry) => {
    const names = Object.keys(exported.get(registry) ?? {});
    expect(entriesOf(file, registry).map(({ name }) => name)).toEqual(names);
    const from = page.indexOf(`\n## ${registry}\n`);
    const section = page.slice(from, page.indexOf('\n## ', from + 1) >>> 0);
    expect(from).toBeGreaterThan(0);
    for (const name of names) expect(section).toMatch(new RegExp(`### .*\`${name.replace('+', '\\+')}\``));
  });

  it.each(registries)('%s: every entry of %s has its line in the table of tests', (file, registry) => {
    const named = EVIDENCE.filter((line) => line.registry === registry).flatMap(namesOf);
    expect([...named].sort()).toEqual(
      entriesOf(file, registry)
        .map(({ name }) => name)
        .sort(),
    );
  });

  it.each([...EVIDENCE, ...BAD_INPUT])('names a test that exists: $file, $title', ({ file, title }) => {
    expect(readFileSync(`${root}test/features/${file}`, 'utf8')).toContain(`'${title}'`);
  });

  it('has shapes, numerics and a cost in flops and bytes for every sampler, map and choice', () => {
    for (const [file, registry] of registries.filter(([path]) => path === 'registry.ts')) {
      for (const { name, file: source } of entriesOf(file, registry)) {
        const header = readFileSync(`${root}src/features/${source}`, 'utf8').split('*/')[0];
        for (const word of [/shapes/i, /numerics/i, /cost/i, /flops/, /bytes/]) {
          expect(header, `${name}, ${source}`).toMatch(word);
        }
      }
    }
  });

  it('names no registry that the public entry has and this test has not', () => {
    expect([...exported.keys()].sort()).toEqual(['activations', ...registries.map(([, name]) => name)].sort());
  });

  it('has an example that runs', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'docs/features.example.ts'], {
      cwd: root,
    });
    expect(stdout.trim().split('\n').at(-1)).toBe('1024 128');
  });
});

it('the public entry exports what it exported', () => {
  expect(Object.keys(features).sort()).toMatchInlineSnapshot(`
    [
      "PerformersError",
      "activations",
      "aderf",
      "alignment",
      "antithetic",
      "applies",
      "asymmetricMaps",
      "budgeted",
      "circulantApply",
      "clusters",
      "cosformer",
      "dataSamplers",
      "energyBased",
      "fastfood",
      "fastfoodApply",
      "favorPlus",
      "featureMaps",
      "fourierMap",
      "frequencyMap",
      "generalized",
      "gram",
      "greedy",
      "haltonGaussian",
      "hedgehog",
      "hrf",
      "hyperbolic",
      "iidGaussian",
      "kMeans",
      "kernels",
      "landmarkChoices",
      "landmarkMaps",
      "latticeGaussian",
      "leverage",
      "maclaurin",
      "methods",
      "momentMatched",
      "nystrom",
      "oprf",
      "orthogonalGaussian",
      "orthonormalRows",
      "pModelApply",
      "pairMaps",
      "polysketch",
      "quasiOrthogonal",
      "randomlyPivoted",
      "relu",
      "rowMaps",
      "samplerTransforms",
      "samplers",
      "sderf",
      "shifted",
      "signedCirculant",
      "signedGram",
      "simplexGaussian",
      "sobolGaussian",
      "sorfApply",
      "sphericalSet",
      "sphericalStructured",
      "ssfApply",
      "structuredOrthogonal",
      "surrogateLeverage",
      "taylor2",
      "tensorSketch",
      "trig",
      "uniformRows",
      "volumeSampled",
    ]
  `);
});

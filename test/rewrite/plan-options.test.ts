/** The names that plans are checked by, against what is there under them: the one does without the other. */
import { expect, test } from 'vitest';
import { signedNormalisers } from '../../src/attention/signed.js';
import { kernels } from '../../src/features/kernels/registry.js';
import { asymmetricMaps, featureMaps } from '../../src/features/registry.js';
import { drawnMaps } from '../../src/rewrite/lower/features-constants.js';
import { lowerings } from '../../src/rewrite/lower/registry.js';
import { readPlan } from '../../src/rewrite/plan.js';
import {
  drawnMapNames,
  mapNames,
  planNames,
  signedKernelNames,
  signedNormaliserNames,
} from '../../src/rewrite/plan-options.js';

test('every plan has its lowering, in one order', () => {
  expect(planNames).toEqual(Object.keys(lowerings));
});

test.each(planNames)('%s: its lowering says what it takes', (name) => {
  const { defaults, readOptions } = lowerings[name];
  expect(readOptions({})).toEqual(defaults);
  expect(readPlan(name)).toEqual({ name, options: defaults });
});

test('every kernel, normaliser and map that can be named is there, and all that are there can be named', () => {
  expect(signedKernelNames).toEqual(Object.keys(kernels));
  expect(signedNormaliserNames).toEqual(Object.keys(signedNormalisers));
  expect(drawnMapNames).toEqual(Object.keys(drawnMaps));
  expect([...mapNames].sort()).toEqual([...Object.keys(featureMaps), ...Object.keys(asymmetricMaps)].sort());
});

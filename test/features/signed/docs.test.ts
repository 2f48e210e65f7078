import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { signedNormalisers } from '../../../src/attention/signed.js';
import { kernels } from '../../../src/features/kernels/registry.js';
import { methods } from '../../../src/features/signed/registry.js';

it('docs/indefinite.md has a row for every kernel, method and normaliser, and none for what is not there', () => {
  const page = readFileSync('docs/indefinite.md', 'utf8');
  const rows = Array.from(page.matchAll(/^\| `([^`]+)`/gm), ([, name]) => name);
  expect(rows.sort()).toEqual(
    [kernels, methods, signedNormalisers].flatMap((registry) => Object.keys(registry)).sort(),
  );
});

import { expect, it } from 'vitest';
import * as attention from '../../src/attention/index.js';

it('the public entry exports what it exported', () => {
  expect(Object.keys(attention).sort()).toMatchInlineSnapshot(`
    [
      "PerformersError",
      "doubleSoftmax",
      "exactAttention",
      "liftOf",
      "signedAttention",
      "signedNormalisers",
      "windowAttention",
    ]
  `);
});

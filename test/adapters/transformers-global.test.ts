/** The entry for pages where nothing resolves names: which onnxruntime it takes. Pages load it in test/packed/plain.test.ts. */
import { afterEach, expect, test } from 'vitest';
import { performers } from '../../src/adapters/transformers.global.js';

const key = Symbol.for('onnxruntime');
const place = globalThis as { [key]?: unknown };

afterEach(() => {
  delete place[key];
});

test('without one in its place it says what to do', () => {
  expect(() => performers()).toThrowErrorMatchingInlineSnapshot(`
    [PerformersError: PF301  there is no onnxruntime at globalThis[Symbol.for('onnxruntime')]
      at   performers()
      mend put its module there before transformers.js is imported, which reads it then; where names are resolved, import 'performers.js/transformers']
  `);
});

test('what lies there must be one', () => {
  place[key] = { registerBackend: () => undefined };
  expect(() => performers()).toThrow(/^PF301 {2}this is no onnxruntime module/);
});

test('transformers.js is told no device, as it knows none by name there; the session is told', async () => {
  const ort = await import('onnxruntime-web');
  place[key] = ort;
  const { device, session_options } = performers({ device: 'wasm' });
  expect(device).toBe('auto');
  expect(session_options.executionProviders).toEqual([expect.stringMatching(/^performers-/)]);
  expect(() => performers({ device: 'wsm' as 'wasm' })).toThrow(/^PF202 .*did you mean 'wasm'/);
});

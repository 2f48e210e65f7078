import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decode } from '../../src/onnx/decode.js';
import { graphFile } from '../shared.js';

const bytes = readFileSync(graphFile('bert.optimum-eager.onnx'));

describe('bad bytes', () => {
  it('empty', () => {
    expect(() => decode(new Uint8Array(), 'a.onnx')).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF103  the input is empty: 0 bytes
        at   a.onnx
        mend pass the bytes of an .onnx file]
    `);
  });
  it('truncated', () => {
    expect(() => decode(bytes.subarray(0, 40_000), 'a.onnx')).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF102  the model is truncated or damaged: it breaks off within its 40000 bytes
        at   a.onnx
        mend download or export the file again and compare its size]
    `);
  });
  it('a Git LFS pointer', () => {
    const text = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n';
    expect(() => decode(new TextEncoder().encode(text), 'a.onnx')).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF101  not an ONNX model: no graph in its 64 bytes (they begin 76 65 72 73 69 6f 6e 20)
        at   a.onnx
        mend pass an .onnx file; a Git LFS pointer or an HTML error page is a common mix-up]
    `);
  });
  it('random bytes never throw anything else', () => {
    let state = 1;
    for (let round = 0; round < 500; round++) {
      const noise = Uint8Array.from({ length: 200 }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state >>> 24;
      });
      expect(() => decode(noise)).toThrowError(/^PF10[12]/);
    }
  });
});

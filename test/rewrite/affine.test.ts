/** Where an element is before a reshape: never a place that is right for some indices alone. */
import { describe, expect, it } from 'vitest';
import { add, constant, type Dim, multiply, symbol } from '../../src/onnx/dims.js';
import { divideIndex, index, reindex } from '../../src/rewrite/prove/affine.js';

const [rows, columns, keys] = [symbol('rows'), symbol('columns'), symbol('keys')];
const [b, j] = [index('@b'), index('@j')];
const keysOf = (at: readonly Dim[] | undefined) => at?.map(({ key }) => key);

describe('an index along two axes at once', () => {
  it.each([
    ['as long as both', multiply(rows, columns)],
    ['of a length of its own', keys],
  ])('is not split, being %s', (_, length) => {
    const ranges = new Map([['@j', length]]);
    expect(divideIndex(j, columns, ranges)).toBeUndefined();
    expect(reindex([b, j], [symbol('batch'), multiply(rows, columns)], [symbol('batch'), rows, columns], ranges)).toBe(
      undefined,
    );
  });

  it('is split where it is a row and a place in it', () => {
    const ranges = new Map([
      ['@b', symbol('batch')],
      ['@j', keys],
    ]);
    const flat = add(multiply(b, columns), j);
    expect(keysOf(reindex([flat], [multiply(rows, columns)], [rows, columns], ranges))).toEqual(['1*@b', '1*@j']);
  });

  it('is split where its range tells that it stays within', () => {
    const ranges = new Map([['@j', constant(4)]]);
    expect(divideIndex(j, constant(8), ranges)?.remainder.key).toBe('1*@j');
    expect(divideIndex(j, constant(2), ranges)).toBeUndefined();
  });
});

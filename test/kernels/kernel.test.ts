/** What the loader does with a kernel's text. Needs no device. */
import { describe, expect, it } from 'vitest';
import { attendKernel } from '../../src/kernels/gen/attend.js';
import { interfaceOf, type Kernel, type Parameters, packUniform, specialise } from '../../src/kernels/kernel.js';

const kernel: Kernel = {
  name: 'sample',
  text: `// sample.wgsl
// ---- parameters
alias elem = f32; // what x is stored as
const WIDTH = 64u;
const FAST = false;
// ---- end
const OTHER = 3u;
struct Shape {
  rows: u32, // R
  offset: i32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
fn twin() -> i32 { return dot4I8Packed(1u, 2u); }
`,
};
const plain = { ...kernel, text: kernel.text.replace(/^fn twin.*\n/m, '') };
const load = (parameters: Parameters, packedDot = true) => specialise(plain, parameters, { packedDot });

describe('specialise', () => {
  it('leaves a text without parameters as it stands', () => {
    expect(load({})).toBe(plain.text);
  });

  it('rewrites the named lines and no others', () => {
    const changed = load({ WIDTH: 32, FAST: true }).split('\n');
    const lines = plain.text.split('\n');
    expect(changed.filter((line, i) => line !== lines[i])).toEqual(['const WIDTH = 32u;', 'const FAST = true;']);
    expect(changed).toHaveLength(lines.length);
  });

  it('enables f16 where a type asks for it, and only there', () => {
    expect(load({ elem: 'f16' }).split('\n').slice(0, 4)).toEqual([
      'enable f16;',
      '// sample.wgsl',
      '// ---- parameters',
      'alias elem = f16; // what x is stored as',
    ]);
    expect(load({ elem: 'u32' })).not.toContain('enable');
  });

  it('requires packed dots where the device has them, and brings its own where not', () => {
    const packed = specialise(kernel, {}, { packedDot: true });
    expect(packed.startsWith('requires packed_4x8_integer_dot_product;\n')).toBe(true);
    expect(packed).not.toContain('fn dot4I8Packed');
    const own = specialise(kernel, {}, { packedDot: false });
    expect(own).not.toContain('requires');
    expect(own).toContain('fn dot4I8Packed(a: u32, b: u32) -> i32 {');
    expect(load({}, false)).not.toContain('dot4I8Packed');
  });

  it('refuses a name it does not know, and offers the near one', () => {
    expect(() => load({ WIDHT: 32 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF705  sample.wgsl has no parameter "WIDHT"
        at   parameters of sample.wgsl: elem, WIDTH, FAST
        mend did you mean "WIDTH"?]
    `);
    expect(() => load({ OTHER: 4 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF705  sample.wgsl has no parameter "OTHER"
        at   parameters of sample.wgsl: elem, WIDTH, FAST
        mend name one of these]
    `);
  });

  it.each([{ WIDTH: 'f16' }, { WIDTH: -1 }, { WIDTH: 1.5 }, { FAST: 1 }, { elem: 'f16; var<private> a' }, { elem: 3 }])(
    'refuses a value of another kind: %o',
    (parameters) => {
      expect(() => load(parameters as unknown as Parameters)).toThrow('PF705');
    },
  );

  it('refuses a text without a block of parameters', () => {
    expect(() =>
      specialise({ name: 'bare', text: 'fn main() {}' }, {}, { packedDot: true }),
    ).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF705  bare.wgsl has no block of parameters
        at   bare.wgsl
        mend put it between "// ---- parameters" and "// ---- end"]
    `);
  });

  it('makes of attend what its parameters say', () => {
    const parameters = {
      quad: 'vec4<f16>',
      quadV: 'vec4<f16>',
      result: 'vec4<f16>',
      D: 96,
      E: 32,
      ROWS: 16,
      SPLIT: 4,
      BAND: true,
    };
    const text = specialise(attendKernel, parameters, { packedDot: false });
    expect(text.slice(0, text.indexOf('// ---- end')).replace(/^\/\/ .*\n/gm, '')).toMatchInlineSnapshot(`
      "enable f16;










      alias quad = vec4<f16>;
      alias quadV = vec4<f16>;
      alias sums = vec4<f32>;
      alias result = vec4<f16>;
      const LANES = 4u;
      const D = 96u;
      const E = 32u;
      const ROWS = 16u;
      const SPLIT = 4u;
      const TILE = 16u;
      const BIAS = false;
      const BAND = true;
      const LIST = false;
      const LISTED = 16u;
      const QUEUE = false;
      const RESUME = false;
      "
    `);
  });
});

describe('the interface of a kernel', () => {
  it('is read from its text', () => {
    expect(interfaceOf(kernel)).toEqual({
      bindings: [
        { name: 'shape', kind: 'uniform' },
        { name: 'x', kind: 'read-only-storage' },
        { name: 'out', kind: 'storage' },
      ],
      fields: [
        { name: 'rows', type: 'u32' },
        { name: 'offset', type: 'i32' },
        { name: 'scale', type: 'f32' },
      ],
    });
  });

  it.each([
    '@group(1) @binding(0) var<uniform>',
    '@group(0) @binding(7) var<uniform>',
    '@group(0) @binding(0) var<handle>',
  ])('refuses bindings it does not understand: %s', (declaration) => {
    const text = kernel.text.replace('@group(0) @binding(0) var<uniform>', declaration);
    expect(() => interfaceOf({ ...kernel, text })).toThrow('PF705');
  });

  it('gives the bytes of the uniform', () => {
    const view = new DataView(packUniform(kernel, { rows: 7, offset: -2, scale: 0.5 }));
    expect([view.getUint32(0, true), view.getInt32(4, true), view.getFloat32(8, true)]).toEqual([7, -2, 0.5]);
    expect(view.byteLength).toBe(16);
  });

  it('refuses fields that are missing, unknown or of another type', () => {
    expect(() => packUniform(kernel, { rows: 7, scale: 1, rosw: 2 })).toThrowErrorMatchingInlineSnapshot(`
      [PerformersError: PF705  sample.wgsl: uniform offset missing; uniform rosw unknown
        at   sample.wgsl
        mend pass rows, offset, scale]
    `);
    for (const wrong of [{ rows: -1 }, { rows: 2 ** 32 }, { rows: 0.5 }, { offset: 2 ** 31 }, { scale: Number.NaN }]) {
      expect(() => packUniform(kernel, { rows: 7, offset: 0, scale: 1, ...wrong })).toThrow('PF705');
    }
  });
});

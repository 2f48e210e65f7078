/**
 * A kernel is one WGSL file, valid as it stands. What varies is in one block that begins with `// ---- parameters` and ends with
 * `// ---- end`, a line each: `alias name = type;` or `const NAME = value;`. `specialise` rewrites those lines by name and
 * nothing else. Bindings and the fields of the uniform are read from the text too: the file is their only declaration.
 */
import { nearest, PerformersError } from '../errors.js';

export interface Kernel {
  /** The file's name without its ending. */
  readonly name: string;
  readonly text: string;
}

/** A type (`f16`, `vec4<f32>`), a whole number or a truth value. */
export type Parameters = Readonly<Record<string, string | number | boolean>>;

export interface KernelInterface {
  /** In the order of their numbers in group 0. */
  readonly bindings: readonly { readonly name: string; readonly kind: GPUBufferBindingType }[];
  /** Of the struct `Shape`, each of 4 bytes. */
  readonly fields: readonly { readonly name: string; readonly type: 'u32' | 'i32' | 'f32' }[];
}

const TYPE = /^(vec[24]<)?(f32|f16|u32|i32)>?$/;
const LINE = /^(alias|const) (\w+) = ([^;]+);/;

/**
 * The text with the named parameters rewritten. `enable f16;` goes before it where a type asks for it. Where the device lacks packed integer
 * dots, the text gets functions of the builtins' names: a declaration of a module shadows the builtin.
 *
 * @throws PerformersError PF705 for a parameter that the file does not have, or a value that its line cannot hold
 */
export function specialise(kernel: Kernel, parameters: Parameters, { packedDot }: { packedDot: boolean }): string {
  const lines = kernel.text.split('\n');
  const { begin, end } = block(kernel, lines);
  const left = new Set(Object.keys(parameters));
  const known: string[] = [];
  for (let at = begin + 1; at < end; at++) {
    const [, keyword, name = '', value = ''] = LINE.exec(lines[at]) ?? [];
    if (!keyword) continue;
    known.push(name);
    if (!left.delete(name)) continue;
    const comment = lines[at].slice(lines[at].indexOf(';') + 1);
    lines[at] = `${keyword} ${name} = ${written(kernel, name, value, parameters[name])};${comment}`;
  }
  for (const name of left) {
    const near = nearest(name, known);
    throw new PerformersError('PF705', `${kernel.name}.wgsl has no parameter "${name}"`, {
      at: `parameters of ${kernel.name}.wgsl: ${known.join(', ')}`,
      mend: near ? `did you mean "${near}"?` : 'name one of these',
    });
  }
  const packed = /\bdot4I8Packed\(/.test(kernel.text);
  const head = [
    ...(lines.slice(begin, end).some((line) => /\bf16\b/.test(line.split('//')[0])) ? ['enable f16;'] : []),
    ...(packed && packedDot ? ['requires packed_4x8_integer_dot_product;'] : []),
  ];
  return [...head, ...lines, ...(packed && !packedDot ? [dotWithoutPacking] : [])].join('\n');
}

/** dot4I8Packed for devices without it: four signed bytes of each word, low byte first. */
const dotWithoutPacking = `fn dot4I8Packed(a: u32, b: u32) -> i32 {
  var sum = 0;
  for (var byte = 0u; byte < 4u; byte++) {
    sum += extractBits(bitcast<i32>(a), 8u * byte, 8u) * extractBits(bitcast<i32>(b), 8u * byte, 8u);
  }
  return sum;
}
`;

/** What the file declares. @throws PerformersError PF705 for a declaration this loader does not understand */
export function interfaceOf({ name, text }: Kernel): KernelInterface {
  const bindings: { name: string; kind: GPUBufferBindingType }[] = [];
  for (const [, group, binding, space, id] of text.matchAll(
    /^@group\((\d+)\) @binding\((\d+)\) var<([^>]+)> (\w+)/gm,
  )) {
    const kind = { uniform: 'uniform', 'storage, read': 'read-only-storage', 'storage, read_write': 'storage' }[space];
    if (!kind || group !== '0' || Number(binding) !== bindings.length) {
      throw new PerformersError('PF705', `${name}.wgsl: binding ${binding} of group ${group} is not understood`, {
        at: `var<${space}> ${id}`,
        mend: 'number bindings 0, 1, … in group 0, each uniform or storage',
      });
    }
    bindings.push({ name: id, kind: kind as GPUBufferBindingType });
  }
  const body = /^struct Shape \{([^}]*)\}/m.exec(text)?.[1] ?? '';
  const fields = [...body.matchAll(/(\w+): (u32|i32|f32),/g)].map(([, field, type]) => ({
    name: field,
    type: type as 'u32' | 'i32' | 'f32',
  }));
  return { bindings, fields };
}

/** Bytes of the uniform. @throws PerformersError PF705 when a field is missing, unknown or not of its type */
export function packUniform(kernel: Kernel, values: Readonly<Record<string, number>>): ArrayBuffer {
  const { fields } = interfaceOf(kernel);
  const names = fields.map(({ name }) => name);
  checkNames(kernel, 'uniform', names, Object.keys(values));
  const view = new DataView(new ArrayBuffer(Math.max(16, Math.ceil(fields.length / 4) * 16)));
  for (const [index, { name, type }] of fields.entries()) {
    const value = values[name];
    const fits = type === 'f32' ? Number.isFinite(value) : Number.isInteger(value) && inWord(value, type);
    if (!fits) {
      throw new PerformersError('PF705', `${kernel.name}.wgsl: ${name} is ${type}, got ${value}`, {
        at: `uniform ${name}`,
        mend: 'pass a number of this type',
      });
    }
    if (type === 'f32') view.setFloat32(4 * index, value, true);
    else view.setUint32(4 * index, value, true);
  }
  return view.buffer;
}

/** @throws PerformersError PF705 unless both hold the same names */
export function checkNames(kernel: Kernel, what: string, wanted: readonly string[], given: readonly string[]): void {
  const missing = wanted.filter((name) => !given.includes(name));
  const unknown = given.filter((name) => !wanted.includes(name));
  if (missing.length + unknown.length === 0) return;
  const faults = [
    ...(missing.length > 0 ? [`${what} ${missing.join(', ')} missing`] : []),
    ...(unknown.length > 0 ? [`${what} ${unknown.join(', ')} unknown`] : []),
  ];
  throw new PerformersError('PF705', `${kernel.name}.wgsl: ${faults.join('; ')}`, {
    at: `${kernel.name}.wgsl`,
    mend: `pass ${wanted.join(', ')}`,
  });
}

function block({ name }: Kernel, lines: readonly string[]): { begin: number; end: number } {
  const begin = lines.indexOf('// ---- parameters');
  const end = lines.indexOf('// ---- end');
  if (begin >= 0 && end > begin) return { begin, end };
  throw new PerformersError('PF705', `${name}.wgsl has no block of parameters`, {
    at: `${name}.wgsl`,
    mend: 'put it between "// ---- parameters" and "// ---- end"',
  });
}

/** The new right side of a line: of the kind of its old one. */
function written(kernel: Kernel, name: string, old: string, value: string | number | boolean): string {
  if (TYPE.test(old) && typeof value === 'string' && TYPE.test(value)) return value;
  if (/^\d+u$/.test(old) && typeof value === 'number' && Number.isInteger(value) && inWord(value, 'u32')) {
    return `${value}u`;
  }
  if (/^(true|false)$/.test(old) && typeof value === 'boolean') return String(value);
  throw new PerformersError('PF705', `${kernel.name}.wgsl: ${name} cannot be ${JSON.stringify(value)}`, {
    at: `parameter ${name}, which is ${old}`,
    mend: 'pass a value of the same kind: a type, a whole number or a truth value',
  });
}

function inWord(value: number, type: 'u32' | 'i32'): boolean {
  return type === 'u32' ? value >= 0 && value < 2 ** 32 : value >= -(2 ** 31) && value < 2 ** 31;
}

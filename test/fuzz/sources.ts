/** The graphs that cases start from: those of test/graphs, and what each of their first sites needs of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from '../../src/index.js';
import { graphFile } from '../shared.js';
import type { File } from './mutations.js';
import { delimited, type Field, parse, serialize, text } from './tree.js';

const names = readdirSync(graphFile('.')).filter((name) => name.endsWith('.onnx'));

/**
 * Names of cases' files. Cut ones are met a hundred times as often: they are a fifth as long, and more of what is changed
 * in them is attention.
 */
export const sources: readonly string[] = names.flatMap((name) => [...new Array<string>(100).fill(`${name}#0`), name]);

const files = new Map<string, File>();

export function fileOf(name: string): File {
  const known = files.get(name);
  if (known) return known;
  const [path = '', part] = name.split('#');
  const bytes = readFileSync(graphFile(path));
  const fields = part === undefined ? parse(bytes) : cut(bytes);
  const file = { name, bytes: serialize(fields), fields };
  files.set(name, file);
  return file;
}

/** The main graph up to the result of its first attention; large weights without their elements, which nobody reads. */
function cut(bytes: Uint8Array): readonly Field[] {
  const fields = parse(bytes);
  const site = inspect(bytes).sites.find(({ subgraph }) => subgraph === '');
  return fields.map((field) => (field.number === 7 ? { ...field, body: cutGraph(inner(field), site?.output) } : field));
}

function cutGraph(graph: readonly Field[], output: string | undefined): readonly Field[] {
  const nodes = graph.filter(({ number }) => number === 1);
  const wanted = new Set(output === undefined ? nodes.slice(0, 80).flatMap((node) => texts(node, 2)) : [output]);
  // Producers come before readers in these files, so one pass from the end finds all that is needed.
  const needed = new Set<Field>();
  for (const node of [...nodes].reverse()) {
    if (!texts(node, 2).some((value) => wanted.has(value))) continue;
    needed.add(node);
    for (const value of texts(node, 1)) wanted.add(value);
    // What a subgraph captures is not looked for: all of the graph stays.
    if (inner(node).some(({ number, body }) => number === 5 && asList(body).some((part) => part.number === 6)))
      return light(graph);
  }
  const kept = graph.filter((field) => {
    if (field.number === 1) return needed.has(field);
    if (field.number === 5) return texts(field, 8).some((name) => wanted.has(name));
    return field.number !== 12 && field.number !== 13;
  });
  const end = output ?? [...needed].flatMap((node) => texts(node, 2))[0] ?? '';
  return light([...kept, delimited(12, [delimited(1, text(end))], 'ValueInfo')]);
}

function light(graph: readonly Field[]): readonly Field[] {
  return graph.map((field) => {
    const parts = inner(field);
    const large = field.number === 5 && parts.some(({ number, body }) => number === 9 && body.length > 1024);
    return large ? { ...field, body: parts.filter(({ number }) => number !== 9) } : field;
  });
}

const asList = (body: Field['body']) => (body instanceof Uint8Array ? [] : body);
const inner = (field: Field) => asList(field.body);

function texts(field: Field, number: number): string[] {
  return inner(field).flatMap((part) =>
    part.number === number && part.body instanceof Uint8Array ? new TextDecoder().decode(part.body) : [],
  );
}

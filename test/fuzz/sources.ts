/** The graphs that cases start from: those of test/graphs, and what each of their first sites needs of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { inspect } from '../../src/linearize.js';
import { graphFile } from '../shared.js';
import type { File } from './mutations.js';
import { delimited, type Field, parse, serialize, text } from './tree.js';

const names = readdirSync(graphFile('.')).filter((name) => name.endsWith('.onnx'));

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

/** Every graph up to the result of its first attention; large weights without their elements, which nobody reads. */
function cut(bytes: Uint8Array): readonly Field[] {
  const { sites, refusals } = inspect(bytes);
  const last = refusals.map(({ site, output, ...rest }) => ({ ...rest, end: site?.operands.context.value ?? output }));
  const contexts = sites.map(({ subgraph, operands }) => ({ subgraph, end: operands.context.value }));
  const ends: Ends = new Map([...contexts, ...last].reverse().map(({ subgraph, end }) => [subgraph, end]));
  return change(parse(bytes), 7, (graph) => cutGraph(graph, ends, ''));
}

/** What a graph is cut behind, by its path. */
type Ends = ReadonlyMap<string, string>;

function cutGraph(graph: readonly Field[], ends: Ends, path: string): readonly Field[] {
  const nodes = graph.filter(({ number }) => number === 1).map((node) => cutNode(node, ends, path));
  const holder = nodes.find((node) => [...ends.keys()].some((end) => end.startsWith(pathTo(node, path))));
  const end = ends.get(path) ?? texts(holder ?? nodes[79] ?? nodes.at(-1), 2)[0] ?? '';
  const wanted = new Set([end]);
  const needed = new Set<Field>();
  // Producers come before readers in these files, so one pass from the end finds all that is needed.
  for (const node of [...nodes].reverse()) {
    if (!texts(node, 2).some((value) => wanted.has(value))) continue;
    needed.add(node);
    for (const value of valuesRead(node)) wanted.add(value);
  }
  const kept = graph.filter((field) => {
    if (field.number === 5) return texts(field, 8).some((name) => wanted.has(name));
    return ![1, 12, 13].includes(field.number);
  });
  const cutNodes = nodes.filter((node) => needed.has(node));
  return light([...cutNodes, ...kept, delimited(12, [delimited(1, text(end))], 'ValueInfo')]);
}

/** A node whose subgraphs are cut has their first output, and no others. */
function cutNode(node: Field, ends: Ends, path: string): Field {
  const within = pathTo(node, path);
  if (![...ends.keys()].some((end) => end.startsWith(within))) return node;
  const [first] = inner(node).filter(({ number }) => number === 2);
  const parts = inner(node).filter((part) => part.number !== 2 || part === first);
  const body = change(parts, 5, (attribute) =>
    change(attribute, 6, (graph) => cutGraph(graph, ends, `${within}${textsOf(attribute, 1)[0]}`)),
  );
  return { ...node, body };
}

/** Where the paths of a node's subgraphs begin. */
function pathTo(node: Field, path: string): string {
  return `${path && `${path}::`}${texts(node, 3)[0] || texts(node, 2)[0]}/`;
}

/** What a node reads, its subgraphs included. */
function valuesRead(node: Field): string[] {
  const graphs = inner(node).flatMap((part) =>
    part.number === 5 ? inner(part).filter(({ number }) => number === 6) : [],
  );
  const within = graphs.flatMap((graph) =>
    inner(graph).flatMap((part) => (part.number === 1 ? valuesRead(part) : part.number === 12 ? texts(part, 1) : [])),
  );
  return [...texts(node, 1), ...within];
}

function light(graph: readonly Field[]): readonly Field[] {
  return graph.map((field) => {
    const parts = inner(field);
    const large = field.number === 5 && parts.some(({ number, body }) => number === 9 && body.length > 1024);
    return large ? { ...field, body: parts.filter(({ number }) => number !== 9) } : field;
  });
}

const inner = ({ body }: Field) => (body instanceof Uint8Array ? [] : body);

/** The fields with what is in those of a number changed. */
function change(
  fields: readonly Field[],
  number: number,
  by: (inner: readonly Field[]) => readonly Field[],
): readonly Field[] {
  return fields.map((field) => (field.number === number ? { ...field, body: by(inner(field)) } : field));
}

function texts(field: Field | undefined, number: number): string[] {
  return field ? textsOf(inner(field), number) : [];
}

function textsOf(fields: readonly Field[], number: number): string[] {
  return fields.flatMap((part) =>
    part.number === number && part.body instanceof Uint8Array ? new TextDecoder().decode(part.body) : [],
  );
}

/**
 * Names of cases' files, each as often as it is small: time is shared among the graphs, not cases. Whole files are met a
 * thousand times more seldom than what is cut from them, where more of what is changed is attention.
 */
export const sources: readonly string[] = names.flatMap((name) => {
  const often = Math.ceil(1_000_000 / fileOf(`${name}#0`).bytes.length);
  return [...new Array<string>(often).fill(`${name}#0`), name];
});

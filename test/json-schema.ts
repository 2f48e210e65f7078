/** As much of JSON Schema as docs/*.schema.json use. What they do not use is an error, never passed over. */
export interface Schema {
  readonly [keyword: string]: unknown;
}

const known = [
  '$schema',
  '$defs',
  'title',
  '$ref',
  'const',
  'enum',
  'type',
  'pattern',
  'minimum',
  'required',
  'properties',
  'additionalProperties',
  'items',
];

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  integer: Number.isInteger,
};

/** Where a value does not fit a schema, as `path: why`. */
export function violations(value: unknown, schema: Schema, root: Schema = schema, path = '$'): string[] {
  const { $ref, const: only, enum: some, type, pattern, minimum, required, properties, items } = schema;
  const foreign = Object.keys(schema).filter((keyword) => !known.includes(keyword));
  if (foreign.length > 0) return [`${path}: the schema uses ${foreign}`];
  if (typeof $ref === 'string') return violations(value, resolve(root, $ref), root, path);
  if ('const' in schema && value !== only) return [`${path}: not ${only}`];
  if (Array.isArray(some) && !some.includes(value)) return [`${path}: not one of ${some}`];
  if (typeof type === 'string' && !types[type]?.(value)) return [`${path}: not of type ${type}`];
  if (typeof pattern === 'string' && !new RegExp(pattern).test(String(value))) return [`${path}: not like ${pattern}`];
  if (typeof minimum === 'number' && Number(value) < minimum) return [`${path}: below ${minimum}`];
  if (Array.isArray(value))
    return items ? value.flatMap((item, i) => violations(item, items as Schema, root, `${path}[${i}]`)) : [];
  if (typeof value !== 'object' || value === null) return [];
  const members = (properties ?? {}) as Readonly<Record<string, Schema>>;
  const missing = ((required ?? []) as string[]).filter((key) => !(key in value)).map((key) => `${path}: no ${key}`);
  const inner = Object.entries(value).flatMap(([key, member]) => {
    const own = members[key];
    if (own) return violations(member, own, root, `${path}.${key}`);
    return schema.additionalProperties === false ? [`${path}: unknown ${key}`] : [];
  });
  return [...missing, ...inner];
}

function resolve(root: Schema, ref: string): Schema {
  const steps = ref.replace(/^#\//, '').split('/');
  return steps.reduce<Schema>((at, step) => at[step] as Schema, root);
}

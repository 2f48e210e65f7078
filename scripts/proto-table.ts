/**
 * A plugin of buf (`npm run proto`): a schema on stdin, TypeScript on stdout. Types and enums are what any generator
 * writes. In place of a reader and a writer for every message, which took a fifth of the core, there is one line of text
 * for each, and src/onnx/protobuf.ts reads and writes by it:
 *
 *     NodeProto input=1s* attribute=5AttributeProto* …
 *
 * name=number, then s string, b bytes, i int64, n int32 or enum, f float, or the name of a message; `*` when repeated.
 * A member of a oneof is written oneof.name.
 */
import { readFileSync, writeSync } from 'node:fs';
import { create, fromBinary, isFieldSet, toBinary } from '@bufbuild/protobuf';
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponse_FileSchema,
  CodeGeneratorResponseSchema,
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';

/** Code of the table and TypeScript type; int64 alone does not fit into a number. */
const scalars: Partial<Record<Type, readonly [code: string, type: string]>> = {
  [Type.STRING]: ['s', 'string'],
  [Type.BYTES]: ['b', 'Uint8Array'],
  [Type.INT64]: ['i', 'bigint'],
  [Type.INT32]: ['n', 'number'],
  [Type.FLOAT]: ['f', 'number'],
};

const request = fromBinary(CodeGeneratorRequestSchema, readFileSync(0));
const file = request.protoFile.map(({ name, package: scope, messageType, enumType }) => {
  const prefix = scope ? `.${scope}.` : '.';
  const declared = messageType.flatMap((message) => flatten(message, prefix));
  const enums = [...enumType, ...declared.flatMap(({ enums }) => enums)];
  const all = declared.filter(({ fields }) => fields.length > 0);
  const content = [
    `// Written by scripts/proto-table.ts from ${name}: npm run proto. Do not edit.`,
    ...enums.map(enumCode),
    ...all.map(typeCode),
    `export interface Messages {\n${all.map(({ name }) => `  ${name}: ${name};\n`).join('')}}`,
    `export const table = \`\n${all.map(tableLine).join('\n')}\`;\n`,
  ].join('\n\n');
  return create(CodeGeneratorResponse_FileSchema, { name: name.replace(/\.proto$/, '.ts'), content });
});
// proto3_optional: every generator that knows explicit presence must say so.
writeSync(
  1,
  toBinary(CodeGeneratorResponseSchema, create(CodeGeneratorResponseSchema, { file, supportedFeatures: 1n })),
);

interface Message {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly enums: readonly EnumDescriptorProto[];
}
interface Field {
  readonly name: string;
  readonly oneof?: string;
  readonly number: number;
  readonly code: string;
  readonly type: string;
  readonly repeated: boolean;
}

/** A message and those within it, which are named Outer_Inner. */
function flatten(message: DescriptorProto, prefix: string, outer = ''): Message[] {
  const name = outer + message.name;
  const enums = message.enumType.map((entry) => ({ ...entry, name: `${name}_${entry.name}` }));
  const fields = message.field.map((field) => readField(message, field, prefix));
  const inner = message.nestedType.flatMap((nested) => flatten(nested, prefix, `${name}_`));
  return [{ name, fields, enums }, ...inner];
}

function readField(message: DescriptorProto, field: FieldDescriptorProto, prefix: string): Field {
  const named = field.typeName.slice(prefix.length).replaceAll('.', '_');
  const kinds: Partial<Record<Type, readonly [string, string]>> = {
    ...scalars,
    [Type.MESSAGE]: [named, named],
    [Type.ENUM]: ['n', named],
  };
  const kind = kinds[field.type];
  if (!kind) throw new Error(`${message.name}.${field.name}: the table has no code for type ${Type[field.type]}`);
  return {
    name: field.jsonName,
    oneof: isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex)
      ? message.oneofDecl[field.oneofIndex]?.name
      : undefined,
    number: field.number,
    code: kind[0],
    type: kind[1],
    repeated: field.label === Label.REPEATED,
  };
}

function enumCode({ name, value }: Pick<EnumDescriptorProto, 'name' | 'value'>): string {
  return `export enum ${name} {\n${value.map((entry) => `  ${entry.name} = ${entry.number},\n`).join('')}}`;
}

function typeCode({ name, fields }: Message): string {
  const lines = fields.flatMap((field) => {
    if (field.repeated) return `readonly ${field.name}: readonly ${field.type}[];`;
    if (field.oneof === undefined) return `readonly ${field.name}?: ${field.type} | undefined;`;
    const members = fields.filter(({ oneof }) => oneof === field.oneof);
    if (members[0] !== field) return [];
    const cases = members.map((member) => `    | { readonly $case: '${member.name}'; readonly value: ${member.type} }`);
    return [`readonly ${field.oneof}?:`, ...cases, '    | undefined;'].join('\n');
  });
  const unknown =
    '/** Fields that the schema does not know, as they stand in the file. */\n  readonly unknown?: readonly Uint8Array[];';
  return `export interface ${name} {\n${[...lines, unknown].map((line) => `  ${line}\n`).join('')}}`;
}

function tableLine({ name, fields }: Message): string {
  const entries = [...fields]
    .sort((a, b) => a.number - b.number)
    .map(
      ({ oneof, number, code, repeated, ...field }) =>
        `${oneof === undefined ? '' : `${oneof}.`}${field.name}=${number}${code}${repeated ? '*' : ''}`,
    );
  return [name, ...entries].join(' ');
}

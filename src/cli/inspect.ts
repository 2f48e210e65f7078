import { Command } from 'commander';
import { type InspectedFile, inspectFiles } from '../node/inspect-files.js';
import { count, digits, formatIndices, print, printJson, table, withProgress } from './output.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('list the attention of models: what can be rewritten, what cannot, and why')
    .argument('<path...>', 'an .onnx file, or a folder with some')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  performers inspect model.onnx\n  performers inspect models/ --json | jq .files[].sites',
    )
    .action(async (paths: string[], { json }: { json?: true }) => {
      const files = await withProgress((onProgress) => inspectFiles(paths, onProgress));
      if (json) printJson({ schema: 'performers.inspect/1', files });
      else print(files.map(describeFile).join('\n\n'));
      if (files.some(({ error }) => error)) process.exitCode = 1;
    });
}

function describeFile({ file, error, sites, nearMisses, refusals }: InspectedFile): string {
  if (error)
    return `${file}\n  ${error.code ?? 'error'}  ${error.message}${error.mend ? `\n  mend   ${error.mend}` : ''}`;
  const found = [
    count(sites.length, 'site'),
    count(nearMisses.length, 'near miss', 'near misses'),
    count(refusals.length, 'refusal'),
  ];
  const lines = [`${file}: ${found.join(', ')}`];
  if (sites.length > 0) lines.push(indent(describeSites(sites)));
  for (const { output, subgraph, expected, found } of nearMisses) {
    lines.push(`  near miss  ${place(output, subgraph)}`, `    expected ${expected}`, `    found    ${found}`);
  }
  for (const { output, subgraph, reason } of refusals) {
    lines.push(`  left alone ${place(output, subgraph)}`, `    because  ${reason}`);
  }
  return lines.join('\n');
}

/** Layers that are alike share a row. */
function describeSites(sites: InspectedFile['sites']): string {
  const groups = new Map<string, number[]>();
  for (const [layer, site] of sites.entries()) {
    const { kind, form, op, heads, kvHeads, headDim, valueDim, mask, scale, positional, pastKeyValues, subgraph } =
      site;
    const row = [
      op === 'Softmax' ? form : op,
      kind,
      heads === kvHeads ? String(heads) : `${heads}/${kvHeads}`,
      headDim === valueDim ? String(headDim) : `${headDim}/${valueDim}`,
      mask,
      digits(scale),
      positional,
      pastKeyValues ? 'yes' : 'no',
      subgraph || '-',
    ];
    const key = JSON.stringify(row);
    groups.set(key, [...(groups.get(key) ?? []), layer]);
  }
  const head = ['layers', 'form', 'kind', 'heads', 'width', 'mask', 'scale', 'positions', 'cache', 'subgraph'];
  const rows = [...groups].map(([key, layers]) => [formatIndices(layers), ...(JSON.parse(key) as string[])]);
  return table(head, rows);
}

const place = (output: string, subgraph: string) => (subgraph ? `${output} in ${subgraph}` : output);
const indent = (text: string) => text.replace(/^/gm, '  ');

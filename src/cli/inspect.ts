import { Command } from 'commander';
import { type InspectedFile, inspectFiles, type Totals } from '../node/inspect-files.js';
import { count, digits, formatIndices, print, printJson, table, withProgress } from './output.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('list the attention of models: what can be rewritten, what cannot, and why')
    .argument('<path...>', 'an .onnx file, or a folder with some')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  performers inspect model.onnx\n  performers inspect models/ encoder.onnx --json | jq .files[].sites',
    )
    .action(async (paths: string[], { json }: { json?: true }) => {
      const inspection = await withProgress((onProgress) => inspectFiles(paths, onProgress));
      const { files, total } = inspection;
      if (json) printJson(inspection);
      else print([...files.map(describeFile), ...(files.length > 1 ? [describeTotal(total)] : [])].join('\n\n'));
      if (total.broken > 0) process.exitCode = 1;
    });
}

function describeFile({ file, error, sites, nearMisses, refusals }: InspectedFile): string {
  if (error)
    return `${file}\n  ${error.code ?? 'error'}  ${error.message}${error.mend ? `\n  mend   ${error.mend}` : ''}`;
  const lines = [
    `${file}: ${describeCounts({ sites: sites.length, nearMisses: nearMisses.length, refusals: refusals.length })}`,
  ];
  if (sites.length > 0) lines.push(indent(describeSites(sites)));
  for (const { output, subgraph, expected, found } of nearMisses) {
    lines.push(`  near miss  ${place(output, subgraph)}`, `    expected ${expected}`, `    found    ${found}`);
  }
  for (const { output, subgraph, reason, exact } of refusals) {
    lines.push(`  left alone ${place(output, subgraph)}`, `    because  ${reason}`);
    if (exact) lines.push('    though   exact plans can take it, its bias as it is');
  }
  return lines.join('\n');
}

function describeTotal({ files, broken, ...counts }: Totals): string {
  return `${count(files, 'file')}: ${describeCounts(counts)}${broken > 0 ? `; ${broken} broken` : ''}`;
}

function describeCounts({ sites, nearMisses, refusals }: Omit<Totals, 'files' | 'broken'>): string {
  return [count(sites, 'site'), count(nearMisses, 'near miss', 'near misses'), count(refusals, 'refusal')].join(', ');
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
      // That of a memory is filled once.
      pastKeyValues ? (kind === 'cross' ? 'memory' : 'yes') : 'no',
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

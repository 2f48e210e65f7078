import { basename } from 'node:path';
import { type Html, html } from '../../src/cli/html.js';
import { disturbance } from '../row.js';
import { verdictRule } from '../verdict.js';
import type { Page } from './page.js';

/** How the figures came about, and how to get them again. */
export function provenance({ rows, machine, command, image, model, runtime, atOnce, seconds, date }: Page): Html {
  const facts: [string, string][] = [
    ['made', `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC, in ${seconds.toFixed(0)} s`],
    [
      'machine',
      `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, ${machine.system}, Node ${machine.node}`,
    ],
    ['quiet?', disturbance(rows) ?? 'yes: no other program held up the measurements'],
    [
      'runtime',
      `${runtime === 'wasm' ? 'onnxruntime-web, WebAssembly' : 'onnxruntime-node, CPU'}, 1 thread, ${atOnce === 1 ? 'one measurement at a time' : `${atOnce} measurements at a time, which disturbs the times`}; errors of heads with onnxruntime-node`,
    ],
    [
      'versions',
      Object.entries(machine.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ],
    ['commit', machine.commit],
    ['model, photo', `${model}, ${basename(image)}`],
    ['seed', 'of random features: 0 where a plan names no other; everything else is deterministic'],
  ];
  const calibrated = rows.some(({ plan }) => plan.options && 'saved' in plan.options);
  return html`<section id="method"><h2>How it was measured</h2>
<p>A verdict compares a map with the original's at the same size: ${verdictRule()}. Correlation is Pearson's over all
pixels; error is the root mean square of the difference over that of the original's map; token cosine is the mean cosine between the final
hidden states of each token. One photo shows what a plan does; it is no benchmark.</p>
<p>Random features (FAVOR+) estimate softmax without bias, but with a variance that grows exponentially with the size of the
scores, and a model that was trained with softmax has large ones. They are for models trained with them.</p>
${
  calibrated &&
  html`<p>The calibrated plan was chosen and its constants were fitted on other photos, at one size; no weight of the model
was changed. The file that holds it says on which photos, and why each head has its plan. Inputs of fewer tokens than a layer's plan costs keys are attended exactly.</p>`
}
<dl class="facts">${facts.map(([name, text]) => html`<div><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>
<p>Again: <code>${command}</code></p>
</section>`;
}

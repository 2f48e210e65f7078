/** What calibration found, as a page: the figures, the plan of every head, the curve it was chosen from, and why. */
import type { PlanFileContent } from '../node/calibrate-file.js';
import { Html, html } from './html.js';
import { describeHealing, digits } from './output.js';
import { renderPage, renderTable } from './page.js';
import { drawCurve, drawMap } from './plan-picture.js';

export function renderPlanPage(content: PlanFileContent, model: string): string {
  const { what, builtIn, cost, exactCost, exactHeads, error, healing, sources } = content.calibration;
  const heads = content.sites.reduce((sum, site) => sum + site.heads, 0);
  const percent = (share: number) => `${digits(100 * share)} %`;
  const rows = content.sites.flatMap(({ layer, plans }) =>
    plans
      .flatMap((group) =>
        group.heads.map((head, i) => ({
          head,
          plan: group.plan,
          why: group.why?.[i]?.replace(/^head \d+: /, '') ?? '',
        })),
      )
      .sort((a, b) => a.head - b.head)
      .map(({ head, plan, why }) => [`${layer}`, `${head}`, html`<code>${plan}</code>`, why]),
  );
  return renderPage(`${model}: a plan for every head`, [
    html`<p>Calibrated on ${what}${builtIn && ' that are built in'}, a third of them held out: <strong>${cost.toFixed(0)} key equivalents</strong>
a head on average (exact attention on the longest of them: ${exactCost.toFixed(0)}), ${exactHeads} of ${heads} heads exact. A key equivalent is what one
key costs a query in exact attention.</p>`,
    html`<p>Relative error of the output on the held-out inputs: <strong>${percent(error.healed ?? error.chosen)}</strong>
(predicted ${percent(error.predicted)}, as chosen ${percent(error.chosen)}${healing.map((step) => `, ${describeHealing(step)}`).join('')}).</p>`,
    html`<h2>The plan of every head</h2>${new Html(drawMap(content))}`,
    html`<h2>What else there was</h2>${new Html(drawCurve(content))}`,
    html`<h2>Why</h2>${renderTable(['layer', 'head', 'plan', 'reason'], rows, 'Every head with its plan and the reason')}`,
    html`<h2>Calibration data</h2>${renderTable(
      ['file', 'sha256'],
      sources.map(({ file, sha256 }) => [file, html`<code>${sha256}</code>`]),
      'Files; verify refuses them',
    )}`,
  ]);
}

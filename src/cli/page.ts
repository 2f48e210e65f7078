/** A page of one file that fetches nothing: what a report is written into. */
import { type Html, html, Html as Markup } from './html.js';

const style = `
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .25rem }
h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .75rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
code { font-size: .85em; overflow-wrap: anywhere }
svg { max-width: 100%; height: auto }
.note { color: #555 }
.wide { overflow-x: auto }
`;

export function renderPage(title: string, body: readonly Html[]): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${new Markup(style)}</style>
</head>
<body>
<h1>${title}</h1>
${body}
</body>
</html>
`.text;
}

export function renderTable(
  head: readonly string[],
  rows: readonly (readonly (string | Html)[])[],
  caption: string,
): Html {
  return html`<div class="wide" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption>
<thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>${rows.map(
    ([first = '', ...rest]) =>
      html`<tr><th scope="row">${first}</th>${rest.map((cell) => html`<td>${cell}</td>`)}</tr>
`,
  )}</tbody></table></div>`;
}

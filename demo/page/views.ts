/** What models say, drawn. */
import { html } from '../../src/cli/html.js';
import { errorColours, magmaAt } from '../report/colours.js';
import type { Answer, HeadView } from './protocol.js';

/** Maps share the colours of `range`, so that two can be compared; the range of a map is returned. */
export function showAnswer(
  place: HTMLElement,
  answer: Answer,
  range?: readonly [number, number],
): readonly [number, number] {
  const own = answer.kind === 'map' ? (range ?? rangeOf(answer.data)) : ([0, 1] as const);
  if (answer.kind === 'map') place.replaceChildren(mapCanvas(answer, own));
  else if (answer.kind === 'text') place.innerHTML = html`<p>${answer.text}</p>`.text;
  else if (answer.kind === 'labels')
    place.innerHTML =
      html`<ol>${answer.items.map(({ label, score }) => html`<li>${label} <span class="soft">${(100 * score).toFixed(1)} %</span></li>`)}</ol>`.text;
  else place.innerHTML = html`<p>${answer.what}: ${answer.head.map((x) => x.toPrecision(3)).join(', ')} …</p>`.text;
  return own;
}

function rangeOf(data: Float32Array): [number, number] {
  return data.reduce<[number, number]>(
    ([low, high], x) => [Math.min(low, x), Math.max(high, x)],
    [Infinity, -Infinity],
  );
}

function mapCanvas(
  { data, width, height }: Extract<Answer, { kind: 'map' }>,
  [low, high]: readonly [number, number],
): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', 'map: bright is what stands out');
  const pixels = new ImageData(width, height);
  for (const [i, value] of data.entries()) pixels.data.set([...magmaAt((value - low) / (high - low)), 255], 4 * i);
  canvas.getContext('2d')?.putImageData(pixels, 0, 0);
  return canvas;
}

/** The map of heads as a grid of buttons, one of them in the order of tabs; `onPick` is told of the one in focus. */
export function showHeads(
  place: HTMLElement,
  heads: readonly (readonly HeadView[])[],
  onPick: (layer: number, head: number) => void,
): void {
  const most = Math.max(0, ...heads.map((row) => row.length));
  place.innerHTML =
    html`<table aria-label="plan and error of every head"><thead><tr><th scope="col"><abbr title="layer">L</abbr></th>${Array.from({ length: most }, (_, head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${heads.map(
      (row, layer) =>
        html`<tr><th scope="row">${layer}</th>${row.map((view, head) => html`<td>${cell(view, layer, head)}</td>`)}</tr>`,
    )}</tbody></table>`.text;
  const at = (layer: number, head: number) => place.querySelector<HTMLButtonElement>(`[data-at="${layer} ${head}"]`);
  for (const button of place.querySelectorAll('button')) {
    const [layer, head] = (button.dataset.at ?? '').split(' ').map(Number);
    const { back, text } = errorColours(heads[layer][head].error ?? 0);
    if (heads[layer][head].error !== undefined) Object.assign(button.style, { background: back, color: text });
    button.addEventListener('focus', () => onPick(layer, head));
    button.addEventListener('click', () => onPick(layer, head));
    button.addEventListener('keydown', (event) => {
      const [down, right] = steps[event.key] ?? [0, 0];
      const next = at(layer + down, head + right);
      if (!next) return;
      event.preventDefault();
      button.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
}

const steps: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

function cell({ plan, linear, error }: HeadView, layer: number, head: number) {
  const said = error === undefined ? '' : `, error ${percent(error)}`;
  return html`<button type="button" data-at="${layer} ${head}" tabindex="${layer + head === 0 ? 0 : -1}" aria-label="layer ${layer}, head ${head}: ${linear ? 'linear' : 'exact'}, ${plan}${said}"><span aria-hidden="true">${linear ? '●' : '○'}</span> ${error === undefined ? '' : short(error)}</button>`;
}

function short(error: number): string {
  if (!Number.isFinite(error)) return '∞';
  if (error < 0.0005) return '0';
  return error < 0.995 ? error.toFixed(error < 0.01 ? 3 : 2).slice(1) : error.toFixed(1);
}

export function percent(share: number): string {
  if (!Number.isFinite(share)) return '∞';
  return share > 0 && share < 0.0005 ? '<0.1 %' : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

export function showError(place: HTMLElement, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  place.innerHTML = html`${text.split('\n').map((line) => html`<p>${line.trim()}</p>`)}`.text;
  place.hidden = false;
}

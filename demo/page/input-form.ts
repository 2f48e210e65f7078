/** What the model is given: a photo, a text, or random numbers. */
import { html } from '../../src/cli/html.js';
import { byId } from './dom.js';
import type { Input, Opened } from './protocol.js';
import { tasks } from './tasks-inputs.js';

export interface InputForm {
  show(model: Opened): void;
  read(): Promise<Input>;
  /** In a few words, for the table. */
  label(): string;
  px(): number;
}

export function createInputForm(): InputForm {
  const [photo, px] = [byId('photo', HTMLInputElement), byId('px', HTMLSelectElement)];
  const [text, tokens] = [byId('text', HTMLTextAreaElement), byId('tokens', HTMLSelectElement)];
  const samples = byId('samples', HTMLElement);
  let kind: 'image' | 'text' | 'random' = 'image';
  const sample = () => samples.querySelector<HTMLInputElement>('input:checked')?.value;
  photo.addEventListener('change', () => {
    for (const radio of samples.querySelectorAll('input')) radio.checked = false;
  });
  samples.addEventListener('change', () => {
    photo.value = '';
  });
  return {
    show({ task, samples: addresses }) {
      kind = task === undefined ? 'random' : tasks[task];
      for (const one of ['image', 'text', 'random']) byId(`${one}-input`, HTMLElement).hidden = one !== kind;
      samples.innerHTML = html`${addresses.map(
        (url, i) =>
          html`<label><input type="radio" name="sample" value="${url}" ${i === 0 && 'checked'}><img src="${url}" width="84" height="64" alt="${nameOf(url)}"></label>`,
      )}`.text;
    },
    async read() {
      if (kind === 'text') return { kind, text: text.value, newTokens: 40 };
      if (kind === 'random') return { kind, tokens: Number(tokens.value) };
      const [own] = photo.files ?? [];
      const url = sample();
      if (!own && !url) throw new Error('Choose a photo first.');
      const image = own ?? (await (await fetch(url ?? '')).blob());
      return { kind, image, px: Number(px.value) };
    },
    label() {
      if (kind === 'text') return `${text.value.split(/\s+/).length} words`;
      if (kind === 'random') return `${tokens.value} random tokens`;
      return `${photo.files?.[0]?.name ?? nameOf(sample() ?? '')}, ${px.value} px`;
    },
    px: () => Number(px.value),
  };
}

function nameOf(url: string): string {
  return url.split('/').at(-1) ?? url;
}

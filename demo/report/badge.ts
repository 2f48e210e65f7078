import { type Html, html } from '../../src/cli/html.js';
import type { Verdict } from '../verdict.js';

/** Verdicts are told apart without their colours. */
const marks: Record<Verdict, string> = {
  'as published': '·',
  'same answer': '✓',
  close: '≈',
  'another model': '✕',
  'no original': '?',
  failed: '!',
  skipped: '–',
};

export function badge(verdict: Verdict): Html {
  return html`<span class="badge ${verdict.replaceAll(' ', '-')}"><span aria-hidden="true">${marks[verdict]}</span> ${verdict}</span>`;
}

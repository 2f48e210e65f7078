/** The form of the plan: its menu, its sliders, and what they say. */

import { html } from '../../src/cli/html.js';
import { byId } from './dom.js';
import {
  type MenuEntry,
  type MenuName,
  type MenuState,
  menu,
  menuNames,
  type Settings,
  type SliderName,
  sliderNames,
  sliders,
} from './plan-menu.js';
import type { PlanChoice } from './protocol.js';

export interface PlanForm {
  settings(): Settings;
  entry(): MenuEntry;
  choose(): PlanChoice | undefined;
  /** A menu for a model; `select` is the entry that it begins with. */
  show(state: MenuState, select?: MenuName): void;
}

/** `onChange` is told when a user has chosen another plan or moved a slider for good. */
export function createPlanForm(onChange: () => void): PlanForm {
  const choice = byId('choice', HTMLSelectElement);
  const what = byId('what', HTMLElement);
  const place = byId('sliders', HTMLElement);
  let state: MenuState = { causal: false, images: false };
  place.innerHTML = html`${sliderNames.map((name) => {
    const { label, values, start } = sliders[name];
    return html`<label>${label} <output id="${name}-value">${start}</output><input type="range" id="${name}" min="0" max="${values.length - 1}" step="1" value="${(values as readonly number[]).indexOf(start)}"></label>`;
  })}`.text;
  choice.innerHTML = html`${menuNames.map((name) => html`<option value="${name}">${menu[name].label}</option>`)}`.text;

  const numberOf = (name: SliderName): number => sliders[name].values[Number(byId(name, HTMLInputElement).value)];
  const settings = () => Object.fromEntries(sliderNames.map((name) => [name, numberOf(name)])) as Settings;
  const entry = (): MenuEntry => menu[choice.value as MenuName];
  const refresh = () => {
    const used: readonly SliderName[] =
      choice.value === 'calibrated' ? ['window', 'globals', 'codes', 'bits'] : entry().sliders;
    for (const name of sliderNames) {
      const input = byId(name, HTMLInputElement);
      input.disabled = !used.includes(name);
      byId(`${name}-value`, HTMLOutputElement).value = String(numberOf(name));
      input.setAttribute('aria-valuetext', String(numberOf(name)));
    }
    what.textContent = entry().what;
    byId('plan-file', HTMLInputElement).hidden = choice.value !== 'file';
  };
  for (const name of sliderNames) {
    byId(name, HTMLInputElement).addEventListener('input', refresh);
    byId(name, HTMLInputElement).addEventListener('change', onChange);
  }
  choice.addEventListener('change', () => {
    refresh();
    onChange();
  });
  refresh();
  return {
    settings,
    entry,
    choose: () => entry().choose(settings(), state),
    show(next, select) {
      state = next;
      for (const option of choice.options) {
        if (option.value === 'shipped') option.disabled = !next.shipped;
      }
      if (select) choice.value = select;
      refresh();
    },
  };
}

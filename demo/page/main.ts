/** The demo page: a model, a plan, an input, and both answers beside each other. */
import { html } from '../../src/cli/html.js';
import type { SavedPlan } from '../../src/index.js';
import { time } from '../format.js';
import { showDevices } from './devices.js';
import { byId } from './dom.js';
import { createInputForm } from './input-form.js';
import { createPlanForm } from './plan-form.js';
import { calibrationPlan, type MenuState } from './plan-menu.js';
import type { DeviceName, HeadView, ModelSource, Opened, RunResult } from './protocol.js';
import { Cancelled, createSession } from './session.js';
import { tasks } from './tasks-inputs.js';
import { percent, showAnswer, showError, showHeads } from './views.js';

const element = (id: string) => byId(id, HTMLElement);
const [bar, status, errorBox] = [byId('bar', HTMLProgressElement), element('status'), element('error')];
const session = createSession((what, done, total) => {
  status.textContent = `${what} …`;
  if (total === undefined) bar.removeAttribute('value');
  else [bar.max, bar.value] = [total, done ?? 0];
});

let model: Opened | undefined;
let plans: MenuState = { causal: false, images: false };
let busy = false;
/** After a first run, moving a slider runs again. */
let live = false;

const input = createInputForm();
const planForm = createPlanForm(() => {
  if (live && !busy) void run();
});
const device = byId('device', HTMLSelectElement);
await showDevices(device);

/** One thing at a time, its error shown where it can be read. */
async function work(what: () => Promise<string>): Promise<void> {
  if (busy) return;
  busy = true;
  errorBox.hidden = true;
  setButtons();
  try {
    status.textContent = await what();
  } catch (error) {
    if (error instanceof Cancelled) status.textContent = 'Cancelled.';
    else {
      status.textContent = 'That did not work:';
      showError(errorBox, error);
    }
  } finally {
    busy = false;
    [bar.max, bar.value] = [1, 0];
    setButtons();
  }
}

function setButtons(): void {
  byId('cancel', HTMLButtonElement).disabled = !busy;
  byId('load', HTMLButtonElement).disabled = busy;
  byId('controls', HTMLFieldSetElement).disabled = !model;
  byId('run', HTMLButtonElement).disabled = busy || !model;
  byId('calibrate', HTMLButtonElement).disabled = busy || !model?.task || model.task === 'text-generation';
}

const source = byId('source', HTMLSelectElement);
const [file, folder, hub] = ['file', 'folder', 'hub'].map((id) => byId(id, HTMLInputElement));
source.addEventListener('change', () => {
  for (const own of [file, folder, hub]) own.hidden = own.id !== source.value;
});
byId('open', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void work(open);
});
byId('cancel', HTMLButtonElement).addEventListener('click', () => session.cancel());
byId('plan', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
byId('calibrate', HTMLButtonElement).addEventListener('click', () => void work(calibrate));
byId('plan-file', HTMLInputElement).addEventListener('change', ({ target }) => {
  const [chosen] = (target as HTMLInputElement).files ?? [];
  if (chosen) void work(() => readPlanFile(chosen));
});

function chosenSource(): ModelSource {
  if (source.value === 'hub') return { kind: 'hub', id: hub.value.trim() };
  if (source.value !== 'file' && source.value !== 'folder') return { kind: 'shipped', name: source.value };
  const files = [...((source.value === 'file' ? file : folder).files ?? [])];
  if (files.length === 0) throw new Error('Choose a file or folder first.');
  // The first part of a path in a folder is the folder itself.
  const paths = files.map((blob) => ({
    path: blob.webkitRelativePath.split('/').slice(1).join('/') || blob.name,
    blob,
  }));
  return { kind: 'files', name: files[0].webkitRelativePath.split('/')[0] || files[0].name, files: paths };
}

async function open(): Promise<string> {
  const modelsUrl = new URL('../models/', location.href).href;
  [model, live] = [undefined, false];
  model = await session.open({ op: 'open', source: chosenSource(), modelsUrl });
  const { name, layers, left, megabytes, task, saved, note } = model;
  const causal = layers.some((layer) => layer.causal);
  plans = { causal, images: task !== undefined && tasks[task] === 'image', ...(saved && { shipped: saved }) };
  planForm.show(plans, saved ? 'shipped' : 'exact-blocked');
  input.show(model);
  const heads = layers.reduce((sum, layer) => sum + layer.heads, 0);
  element('about').textContent =
    `${name}: ${megabytes.toFixed(1)} MB, ${layers.length} attention layers with ${heads} heads${task ? `, ${task}` : ', no configuration: random inputs'}. ${note ?? ''}`;
  element('left').innerHTML =
    html`${left.map(({ node, reason }) => html`<li>${node}: left as softmax, ${reason}</li>`)}`.text;
  const asIs = layers.map((layer) =>
    Array.from({ length: layer.heads }, (): HeadView => ({ plan: 'softmax', linear: false, why: describe(layer) })),
  );
  show(asIs);
  for (const id of ['original', 'patched']) element(id).replaceChildren();
  return 'Open. Choose a plan and run both.';
}

function describe({ form, mask, headDim, kind }: Opened['layers'][number]): string {
  return `the original: ${kind}-attention found as ${form}, mask ${mask}, heads of ${headDim}`;
}

function show(heads: readonly (readonly HeadView[])[], missing?: string): void {
  showHeads(element('map'), heads, (layer, head) => {
    const { plan, linear, why, error } = heads[layer][head];
    const reason = headReason(layer, head) ?? why;
    element('head').textContent =
      `Layer ${layer}, head ${head}: ${linear ? 'linear' : 'exact'}, ${plan}. ${error === undefined ? (missing ?? '') : `Error ${percent(error)}.`} Why: ${reason}.`;
  });
}

/** What calibration wrote of this head, where the plan is one of its. */
function headReason(layer: number, head: number): string | undefined {
  const choice = planForm.choose();
  if (!choice || 'plan' in choice) return undefined;
  const group = choice.saved.sites[layer]?.plans.find(({ heads }) => heads.includes(head));
  return group?.why?.[group.heads.indexOf(head)]?.replace(/^head \d+: /, '');
}

async function run(): Promise<void> {
  await work(async () => {
    const choice = planForm.choose();
    if (!choice) throw new Error(planForm.entry().what);
    const given = await input.read();
    const started = planForm.entry().label;
    const result = await session.ask({ op: 'run', choice, input: given, device: device.value as DeviceName });
    present(result, 'plan' in choice ? choice.plan : `${started}${choice.bits < 32 ? `, ${choice.bits} bits` : ''}`);
    live = true;
    return 'Done. Moving a slider runs it again.';
  });
}

function present({ original, patched, error, heads, headsMissing }: RunResult, plan: string): void {
  const range = showAnswer(element('original'), original.answer);
  showAnswer(element('patched'), patched.answer, range);
  element('original-time').textContent = time(original.ms);
  element('patched-time').textContent = time(patched.ms);
  element('patched-title').firstChild?.replaceWith(`${plan} `);
  const ratio = patched.ms / original.ms;
  const software = device.selectedOptions[0]?.dataset.software === 'true';
  const speed = software ? 'software in the place of a GPU: no claim about time' : `× ${ratio.toFixed(2)} of the time`;
  element('verdict').textContent =
    `${speed}; ${error.what}: ${percent(error.relRMS)} off, correlation ${error.correlation.toFixed(4)}`;
  show(heads, headsMissing && `No errors of heads: ${headsMissing}.`);
  element('tried').insertAdjacentHTML(
    'afterbegin',
    html`<tr><th scope="row">${plan}</th><td>${input.label()}</td><td>${time(original.ms)}</td><td>${time(patched.ms)}</td><td>${software ? 'no claim' : `× ${ratio.toFixed(2)}`}</td><td>${percent(error.relRMS)}</td><td>${error.correlation.toFixed(4)}</td><td>${device.selectedOptions[0]?.text}</td></tr>`
      .text,
  );
}

async function calibrate(): Promise<string> {
  const plan = calibrationPlan(planForm.settings(), plans);
  const saved = await session.ask({ op: 'calibrate', plan, px: input.px() });
  plans = { ...plans, calibrated: saved };
  planForm.show(plans, 'calibrated');
  return `Calibrated: ${plan} where a head can take it. Run both to see what it does.`;
}

async function readPlanFile(chosen: File): Promise<string> {
  const saved = planIn(await chosen.text());
  if (!saved)
    throw new Error(
      `${chosen.name} is no plan file: it does not say performers.plan/1. Mend: choose FILE.plan.json as calibration writes it.`,
    );
  plans = { ...plans, file: saved };
  planForm.show(plans, 'file');
  return `${chosen.name} read.`;
}

function planIn(text: string): SavedPlan | undefined {
  try {
    const saved: Partial<SavedPlan> | null = JSON.parse(text);
    return saved?.schema === 'performers.plan/1' ? (saved as SavedPlan) : undefined;
  } catch {
    // Not even JSON.
    return undefined;
  }
}

setButtons();

import { describeAdapter } from '../../bench/page/adapter.js';
import { html } from '../../src/cli/html.js';

/** Where models can run in this browser; an adapter that is software says so. */
export async function showDevices(select: HTMLSelectElement): Promise<void> {
  const threads = crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const adapter = await describeAdapter();
  select.innerHTML = html`<option value="wasm">wasm, ${threads === 1 ? '1 thread' : `${threads} threads`}</option>${
    adapter &&
    html`<option value="webgpu" data-software="${String(adapter.software)}">WebGPU: ${adapter.description || adapter.vendor}${adapter.software && ' (software)'}</option>`
  }`.text;
}

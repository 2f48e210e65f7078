import type { Adapter } from '../../src/bench/result.js';

/** The adapter that a page is given, and whether it is software in the place of a GPU; undefined where there is none. */
export async function describeAdapter(): Promise<Adapter | undefined> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return undefined;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const text = [description, device].filter(Boolean).join(' ');
  const software =
    isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render|warp/i.test(`${architecture} ${text}`);
  return { vendor, architecture, description: text || architecture, software };
}

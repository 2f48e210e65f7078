/**
 * WebGPU for Node: Dawn, on the software adapter that comes with Chromium unless VK_ICD_FILENAMES names another driver.
 */
import { existsSync, realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { create } from 'webgpu';
import { findChromium } from './chromium.js';

/** Kept: Dawn ends with the object that `create` returned. */
let gpu: GPU | undefined;

export function dawn(): GPU {
  if (gpu) return gpu;
  const chromium = findChromium();
  const folders = chromium ? ['/usr/lib/chromium', dirname(realpathSync(chromium))] : [];
  const find = (file: string) => folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
  const driver = find('vk_swiftshader_icd.json');
  if (driver) process.env.VK_ICD_FILENAMES ??= driver;
  const loader = find('libvulkan.so.1');
  if (loader) keepLoaded(loader);
  gpu = create([]);
  return gpu;
}

/** Loads a library for good, so that Dawn finds Vulkan by its name on machines that have it nowhere else. */
function keepLoaded(library: string): void {
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // It is no module of Node's, and says so once it is loaded.
  }
}

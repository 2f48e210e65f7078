/**
 * Finds a Chromium for the browser tests and, run as a script, installs one where there is none: Debian's package when
 * root on Debian (its build brings the software WebGPU adapter), playwright's own build everywhere else.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const MAC_CHROME = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome';

/** Path of an installed Chromium, or undefined. `CHROMIUM_PATH` wins, and a wrong one is an error. */
export function findChromium(): string | undefined {
  const wanted = process.env.CHROMIUM_PATH;
  if (wanted) {
    if (!existsSync(wanted)) throw new Error(`CHROMIUM_PATH is ${wanted}, where there is no file`);
    return wanted;
  }
  // Ubuntu's chromium-browser is a stub that asks for snap, hence not in the list.
  const names = ['chromium', 'google-chrome', 'google-chrome-stable'];
  const folders = ['/usr/bin', ...(process.env.PATH ?? '').split(delimiter)];
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...candidates, MAC_CHROME, chromium.executablePath()].find((path) => path !== '' && existsSync(path));
}

/** Path of a Chromium, installed first if there is none. Prints what it does. */
export function ensureChromium(): string {
  const found = findChromium();
  if (found) {
    console.log(`chromium: ${found}`);
    return found;
  }
  const root = process.getuid?.() === 0;
  const system = distribution();
  if (root && system === 'debian') {
    console.log('chromium: none found; installing the Debian package');
    run('apt-get', ['update']) && run('apt-get', ['install', '-y', '--no-install-recommends', 'chromium']);
  }
  if (!findChromium()) {
    console.log("chromium: none found; installing playwright's build");
    const cli = join(dirname(createRequire(import.meta.url).resolve('playwright-core/package.json')), 'cli.js');
    // Its libraries come through apt, which needs root.
    const deps = root && (system === 'debian' || system === 'ubuntu') ? ['--with-deps'] : [];
    run(process.execPath, [cli, 'install', ...deps, 'chromium']);
  }
  const installed = findChromium();
  if (!installed) {
    throw new Error('chromium: could not be installed (see above). Install Chromium or Chrome and set CHROMIUM_PATH');
  }
  console.log(`chromium: installed ${installed}`);
  return installed;
}

function distribution(): string | undefined {
  if (!existsSync('/etc/os-release')) return undefined;
  return /^ID="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
}

function run(command: string, args: string[]): boolean {
  console.log(`$ ${[command, ...args].join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(command, args, { stdio: 'inherit', env }).status === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    ensureChromium();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

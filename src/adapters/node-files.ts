/** Node's own modules, or undefined elsewhere. Named by a variable, so that no bundler for browsers looks for them. */
export async function nodeFiles(): Promise<
  { fs: typeof import('node:fs/promises'); path: typeof import('node:path') } | undefined
> {
  if (!globalThis.process?.versions?.node) return undefined;
  const load = (name: string) => import(/* webpackIgnore: true */ /* @vite-ignore */ name);
  return { fs: await load('node:fs/promises'), path: await load('node:path') };
}

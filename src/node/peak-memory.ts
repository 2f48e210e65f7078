import { readFileSync } from 'node:fs';

/**
 * Most memory this process has held, in bytes. On Linux `maxRSS` begins with the size of the process that started this one; the
 * kernel's mark of this process alone does not.
 */
export function peakMemory(): number {
  if (process.platform === 'linux') {
    const mark = memoryMark('self', 'VmHWM');
    if (mark !== undefined) return mark;
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** What a process holds now (`VmRSS`) or has held at most (`VmHWM`), in bytes; undefined where the kernel does not say. */
export function memoryMark(pid: number | 'self', mark: 'VmRSS' | 'VmHWM'): number | undefined {
  try {
    const kB = new RegExp(`${mark}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kB === undefined ? undefined : Number(kB) * 1024;
  } catch {
    // Not Linux, or the process is gone.
    return undefined;
  }
}

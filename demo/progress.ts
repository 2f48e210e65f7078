import { clock } from './format.js';
import type { Run } from './run.js';

/** A line of progress below the table, on a terminal only; elsewhere rows are just printed. */
export function showProgress(run: Run, total: number, start: number) {
  const terminal = process.stdout.isTTY;
  let done = 0;
  const clear = () => terminal && process.stdout.write('\r\u001b[K');
  const draw = () => {
    const now = performance.now();
    const parts = [...run.running].map(
      ({ job, phase, since }) => `${job.px} px ${job.plan.label}: ${phase}, ${((now - since) / 1000).toFixed(0)} s`,
    );
    const line = `  ${done + 1} of ${total} · ${parts.join(' · ')} · ${clock(now - start)} in all`;
    clear();
    process.stdout.write(line.slice(0, (process.stdout.columns ?? 80) - 1));
  };
  const timer = terminal ? setInterval(draw, 250) : undefined;
  return {
    print(line: string): void {
      done++;
      clear();
      console.log(line);
    },
    end(): void {
      clearInterval(timer);
      clear();
    },
  };
}

import { clearTimeout, setTimeout } from './timers.js';

/** Waits for work, but no longer than so many milliseconds; tells whether it was done. What it rejects with, rejects this. */
export async function within(ms: number, work: Promise<unknown>): Promise<'done' | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ms);
  });
  try {
    return await Promise.race([work.then(() => 'done' as const), late]);
  } finally {
    clearTimeout(timer);
    // Whoever comes too late may fail without anybody hearing of it.
    work.catch(() => undefined);
  }
}

import type { NewRun } from '../core/run.js';
import { tracer } from '../core/tracing.js';

/**
 * Starts runs together, each in a span of its own. Without tracing, only calls `work`.
 *
 * @param work starts the given runs, which carry their trace contexts
 */
export async function startTraced<T>(runs: readonly NewRun[], work: (runs: readonly NewRun[]) => Promise<T>): Promise<T> {
  if (!tracer) return work(runs);
  const current = tracer;
  const spans = runs.map(({ id, name }) => current.send('start', id, name));
  const traced = runs.map((run, index) => ({ ...run, traceContext: spans[index]!.traceContext }));
  let failure: unknown;
  try {
    return await work(traced);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    for (const span of spans) span.end(failure);
  }
}

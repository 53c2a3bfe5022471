import type pg from 'pg';

import { clearTimeout, setTimeout } from '../core/timers.js';
import { hangUp } from './own-client.js';

/** Clients of a pool that are currently open. */
export type OpenClients = Set<pg.Client>;

/** Milliseconds before the first probe, and between later ones. */
const PROBE_EVERY_MS = 5_000;

/**
 * Does work whose queries have no timeout, because a migration may take long. If the server
 * vanished, these queries would wait until TCP gives up. So another connection probes the server.
 * When a probe gets no answer, the connections of the work are closed, and the work rejects.
 *
 * @param probe a query with a timeout, on another connection to the same server
 * @param clients the connections of the work
 * @throws the error of the work, or an error with the code ETIMEDOUT when the server stopped
 * answering
 */
export async function whileServerAnswers<T>(probe: () => Promise<unknown>, clients: OpenClients, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let timeoutError: Error | undefined;
  let hasEnded = false;
  const runProbe = async (): Promise<void> => {
    const failure = await probe().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (hasEnded) return;
    if (isSilence(failure)) {
      timeoutError = Object.assign(new Error('the server has stopped answering', { cause: failure }), { code: 'ETIMEDOUT' });
      for (const client of clients) hangUp(client);
    }
    scheduleProbe();
  };
  const scheduleProbe = (): void => {
    timer = setTimeout(() => void runProbe(), PROBE_EVERY_MS);
  };
  scheduleProbe();
  try {
    return await work();
  } catch (error) {
    throw timeoutError ?? error;
  } finally {
    hasEnded = true;
    clearTimeout(timer);
  }
}

/**
 * True when a probe got no answer. A server that answers with an error is alive: it may be full,
 * for example, while it still executes the migration.
 */
function isSilence(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  // Errors that pg creates itself have no code, so only their text shows the reason.
  return typeof code === 'string' ? /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET)/.test(code) : /timeout|terminated/i.test(error.message);
}

import type pg from 'pg';

import { clearTimeout, setTimeout } from '../core/timers.js';
import { hangUp } from './own-client.js';

/** Clients of a pool whose connections are open. */
export type OpenClients = Set<pg.Client>;

/** Time before the first probe, and the pause between two probes. */
const PROBE_EVERY_MS = 5_000;

/**
 * Does work on connections whose queries have no timeout, because a migration may take long. A
 * server that stops answering would be waited for until TCP gives up, so another connection probes
 * it. When a probe gets no answer, the connections of the work are ended, and the work rejects.
 *
 * @param probe a query with a timeout, on another connection to the same server
 * @param clients the connections of the work
 * @throws what the work throws; an error with the code ETIMEDOUT when the server stopped answering
 */
export async function whileServerAnswers<T>(probe: () => Promise<unknown>, clients: OpenClients, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let silence: Error | undefined;
  let isOver = false;
  const look = async (): Promise<void> => {
    const failure = await probe().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (isOver) return;
    if (isSilence(failure)) {
      silence = Object.assign(new Error('the server has stopped answering', { cause: failure }), { code: 'ETIMEDOUT' });
      for (const client of clients) hangUp(client);
    }
    probeLater();
  };
  const probeLater = (): void => {
    timer = setTimeout(() => void look(), PROBE_EVERY_MS);
  };
  probeLater();
  try {
    return await work();
  } catch (error) {
    throw silence ?? error;
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

/**
 * Tells a server that does not answer from one that answers with an error: a full server may be
 * busy with our migration.
 */
function isSilence(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  // pg's own errors have no code.
  return typeof code === 'string' ? /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET)/.test(code) : /timeout|terminated/i.test(error.message);
}

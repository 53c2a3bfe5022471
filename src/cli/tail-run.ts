import { toHistoryEntry } from '../client/queries/history.js';
import { sleep } from '../core/timers.js';
import { isTerminal } from '../core/run.js';
import { readHistory, type HistoryPosition } from '../store/sql/read-history.js';
import type { Connection } from './connection.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import type { CommandContext } from './action.js';
import { timelineCells } from './timeline.js';

const POLL_MS = 500;
const PAGE = 500;

/**
 * Milliseconds after which no entry appears before this one any more. The time of an entry is
 * computed before its commit, so entries may appear in another order than their times.
 */
const SETTLED_MS = 10_000;

/** Follows the timeline of a run until the run has ended, or the user stops. */
export async function tailRun(
  { io, printer }: CommandContext,
  { client, database, payloads, clock }: Connection,
  named: string,
): Promise<ExitCode> {
  const { interrupted } = io;
  const { runId } = await client.describe(named);
  const seen = new Set<string>();
  let after: HistoryPosition | undefined;
  while (!interrupted.aborted) {
    // The status is read first: entries that were written before the end are then not missed.
    const status = await client.status(runId, { follow: false });
    for (let from = after; ;) {
      const page = await readHistory(database, runId, from, PAGE);
      for (const { row, position } of page) {
        const key = `${position.rank} ${position.number} ${row.kind} ${row.stepKey}`;
        if (seen.has(key)) continue;
        seen.add(key);
        const entry = toHistoryEntry(row, payloads);
        if (printer.isJson) await printer.jsonLine({ runId, ...entry });
        else await printer.line(...timelineCells(entry).flatMap((cell) => [cell, '  ']));
      }
      if (page.length < PAGE) break;
      from = page.at(-1)!.position;
      if (from.at < clock.now() - SETTLED_MS) after = from;
    }
    if (status === 'continued' || isTerminal(status)) return EXIT.ok;
    await sleep(POLL_MS);
  }
  return EXIT.ok;
}

import v8 from 'node:v8';

import { HistoryTooLargeError } from '../core/errors/index.js';
import type { History } from '../core/step.js';
import type { Database } from '../store/database.js';
import type { ClaimedRun } from '../store/sql/claim-runs.js';
import { loadHistories } from '../store/sql/load-histories.js';
import { measureHistories } from '../store/sql/measure-histories.js';
import { historyBatches } from './history-batches.js';
import type { KnownPart } from './history-cache.js';
import type { ActiveRuns } from './active-runs.js';

/** Maximum size in bytes of a history that is loaded however much memory the active runs take. */
const SMALL_BYTES = 1 << 20;

/**
 * Divisor of the heap size: stored text of histories may take a quarter of the heap. Decoded values
 * take at least as much again, and text outside of Latin-1 takes two bytes per character.
 */
const HEAP_SHARE = 4;

/** Returns the number of bytes of histories that this process can hold. */
function historyLimit(): number {
  return Math.floor(v8.getHeapStatistics().heap_size_limit / HEAP_SHARE);
}

/** Callbacks for claimed runs whose histories are not loaded. */
interface LoaderEvents {
  /** Called when the run's history is too large for this process, even without other runs. */
  block(run: ClaimedRun, error: HistoryTooLargeError): void;
  /** Called when the run's history does not fit now, beside the histories of the active runs. */
  postpone(run: ClaimedRun): void;
}

/**
 * Claimed runs with their histories, or with the error that kept the histories from being loaded.
 */
export interface LoadedRuns {
  readonly runs: readonly ClaimedRun[];
  readonly histories: ReadonlyMap<string, History>;
  readonly error?: unknown;
}

/**
 * Loads the histories of claimed runs: from the cache as far as possible, and otherwise from the
 * database. Releases runs whose histories do not fit the heap.
 */
export class HistoryLoader {
  constructor(
    private readonly database: Database,
    private readonly active: Pick<ActiveRuns, 'historyBytes' | 'histories'>,
    private readonly events: LoaderEvents,
  ) {}

  /** Yields the runs in groups, first the runs whose history is complete in the cache. */
  async *load(claimed: readonly ClaimedRun[]): AsyncGenerator<LoadedRuns> {
    const parts = this.active.histories.takeAll(claimed);
    const complete = claimed.filter(({ id }) => isComplete(parts.get(id)));
    yield { runs: complete, histories: new Map(complete.map(({ id }) => [id, parts.get(id)!.history])) };
    const lacking = claimed.filter(({ id }) => !isComplete(parts.get(id)));
    const fitting = lacking.length === 0 ? lacking : await this.fittingOf(lacking).catch(() => lacking);
    for (const runs of historyBatches(fitting)) {
      try {
        yield { runs, histories: await this.loadAll(runs, parts) };
      } catch (error) {
        yield { runs, histories: new Map(), error };
      }
    }
  }

  private async loadAll(runs: readonly ClaimedRun[], parts: ReadonlyMap<string, KnownPart>): Promise<Map<string, History>> {
    const after = new Map([...parts].map(([id, { loadAfter = 0 }]) => [id, loadAfter]));
    const ids = runs.map(({ id }) => id);
    const histories = await loadHistories(this.database, ids, after);
    for (const [id, { steps, waits }] of histories) {
      const part = parts.get(id);
      if (part) histories.set(id, { steps: [...part.history.steps, ...steps], waits });
    }
    return histories;
  }

  private async fittingOf(runs: readonly ClaimedRun[]): Promise<readonly ClaimedRun[]> {
    const lost = runs.filter(({ losses }) => losses > 0).map(({ id }) => id);
    const measured = lost.length === 0 ? new Map<string, number>() : await measureHistories(this.database, lost);
    const sized = runs.map((run) => ({ ...run, historyBytes: measured.get(run.id) ?? run.historyBytes }));
    if (sized.every(({ historyBytes }) => historyBytes <= SMALL_BYTES)) return sized;
    const limit = historyLimit();
    let bytes = this.active.historyBytes;
    return sized.filter((run) => {
      const { id, historyBytes } = run;
      if (historyBytes > limit) this.events.block(run, new HistoryTooLargeError(id, historyBytes, limit));
      else if (historyBytes > SMALL_BYTES && bytes + historyBytes > limit) this.events.postpone(run);
      else {
        bytes += historyBytes;
        return true;
      }
      return false;
    });
  }
}

function isComplete(part: KnownPart | undefined): boolean {
  return part !== undefined && part.loadAfter === undefined;
}

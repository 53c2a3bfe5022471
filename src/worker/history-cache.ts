import type { OwnedRun } from '../core/run.js';
import type { History, OpenWait, StepRecord } from '../core/step.js';
import type { StepResult } from '../core/transition.js';

/**
 * Limits of the cache: bytes of all kept histories together, and number of suspended runs whose
 * histories are kept.
 */
const MAX_BYTES = 16 << 20;
const MAX_RUNS = 1_000;
/** Number of bytes that a step or a wait takes beside its payload. */
const FIXED_BYTES = 300;

/** Copy of a run's history in memory: loaded once, then extended as results become durable. */
export class KnownHistory {
  private readonly steps: StepRecord[];
  private readonly waits: Map<string, OpenWait>;
  bytes: number;

  constructor(
    private readonly cache: HistoryCache,
    readonly run: Pick<OwnedRun, 'id' | 'epoch' | 'generation' | 'startedAt'>,
    history: History,
    bytes: number,
  ) {
    this.steps = [...history.steps];
    this.waits = new Map(history.waits.map((wait) => [wait.stepKey, wait]));
    this.bytes = bytes;
  }

  get lastSeq(): number {
    return this.steps.at(-1)?.seq ?? 0;
  }

  get history(): History {
    return { steps: [...this.steps], waits: [...this.waits.values()] };
  }

  /** Adds a step that has become durable. */
  recorded({ step, closesWait }: StepResult): void {
    this.steps.push(step);
    if (closesWait) this.waits.delete(step.stepKey);
    this.cache.grown(this, bytesOf(step));
  }

  /**
   * Adds a wait that has become durable. Of two waits with the same key, the wait with more
   * attempts is kept, as in the table.
   */
  opened(wait: OpenWait): void {
    const before = this.waits.get(wait.stepKey);
    if (before && wait.attempts <= before.attempts) return;
    const { wakeAt, openedAt } = wait;
    this.waits.set(wait.stepKey, { ...wait, wakeAt: wakeAt === null ? null : Math.round(wakeAt), openedAt: Math.round(openedAt) });
    if (!before) this.cache.grown(this, FIXED_BYTES);
  }

  closed(stepKey: string): void {
    this.waits.delete(stepKey);
  }
}

/**
 * The part of a claimed run's history that is in memory, and the point from which to load the rest.
 */
export interface KnownPart {
  readonly history: History;
  /**
   * Sequence number of the last step in memory: later steps, and all waits, must be loaded.
   * Undefined when the history in memory is complete.
   */
  readonly loadAfter: number | undefined;
}

/**
 * Keeps the histories of runs that this process suspended recently, so that a run that waits often
 * is not loaded each time. Without the cache, a parent of n children would load n * n / 2 rows.
 *
 * The next claim of the run shows if the kept history is still right:
 *
 * - Each claim raises the epoch by one. If the new epoch is the next after the kept one, no other
 *   process has owned the run meanwhile. Nothing is loaded then.
 * - If the new epoch is a later one, other owners may have added steps. Only these are loaded.
 * - If the generation differs, an operator has retried the run, which may remove steps. The history
 *   is loaded as a whole.
 * - If the start time differs, the run was deleted and started again. The history is loaded as a
 *   whole.
 *
 * After a failover, the worker clears the cache.
 */
export class HistoryCache {
  private bytes = 0;
  /** Histories of suspended runs, in the order in which the runs were suspended. */
  private readonly suspended = new Map<string, KnownHistory>();
  private readonly inUse = new Set<KnownHistory>();

  constructor(private readonly limits: { readonly bytes: number; readonly runs: number } = { bytes: MAX_BYTES, runs: MAX_RUNS }) {}

  /**
   * Begins to keep a copy of the run's history up to date while the run is executed here. Returns
   * undefined, and keeps nothing, when the history is too large or the run is being cancelled.
   */
  follow(run: OwnedRun, history: History): KnownHistory | undefined {
    const isCancelled = history.waits.some(({ kind }) => kind === 'grace') || history.steps.some(({ kind }) => kind === 'cancel');
    const bytes = history.steps.reduce((sum, step) => sum + bytesOf(step), 0) + history.waits.length * FIXED_BYTES;
    if (isCancelled || !this.makeRoom(bytes)) return undefined;
    const known = new KnownHistory(this, run, history, bytes);
    this.bytes += bytes;
    this.inUse.add(known);
    return known;
  }

  /**
   * Keeps the history of a run that has been suspended, so that the run's next claim need not load
   * the history.
   */
  keep(known: KnownHistory): void {
    if (!this.inUse.delete(known)) return;
    this.suspended.set(known.run.id, known);
    if (this.suspended.size > this.limits.runs) this.dropOldest();
  }

  /** Drops the history of a run that has left this process without being suspended. */
  drop(known: KnownHistory): void {
    if (this.inUse.delete(known)) this.bytes -= known.bytes;
  }

  /**
   * Removes the histories of these newly claimed runs from the cache. Returns the parts that are
   * still right.
   */
  takeAll(runs: readonly OwnedRun[]): Map<string, KnownPart> {
    const parts = new Map<string, KnownPart>();
    for (const run of runs) {
      const part = this.take(run);
      if (part) parts.set(run.id, part);
    }
    return parts;
  }

  private take(run: OwnedRun): KnownPart | undefined {
    const known = this.suspended.get(run.id);
    if (!known) return undefined;
    this.suspended.delete(run.id);
    this.bytes -= known.bytes;
    const { epoch, generation, startedAt } = known.run;
    if (run.generation !== generation || run.startedAt !== startedAt || run.epoch <= epoch) return undefined;
    const { history, lastSeq } = known;
    return { history, loadAfter: run.epoch === epoch + 1 ? undefined : lastSeq };
  }

  /**
   * Removes everything. After a failover, the new server may lack results that are in the cache.
   */
  clear(): void {
    this.suspended.clear();
    this.inUse.clear();
    this.bytes = 0;
  }

  /** Adds to the size of a history that has grown by this number of bytes. */
  grown(known: KnownHistory, bytes: number): void {
    if (!this.inUse.has(known)) return;
    if (!this.makeRoom(bytes)) return this.drop(known);
    known.bytes += bytes;
    this.bytes += bytes;
  }

  private makeRoom(bytes: number): boolean {
    while (this.bytes + bytes > this.limits.bytes && this.suspended.size > 0) this.dropOldest();
    return this.bytes + bytes <= this.limits.bytes;
  }

  private dropOldest(): void {
    for (const [id, known] of this.suspended) {
      this.suspended.delete(id);
      this.bytes -= known.bytes;
      return;
    }
  }
}

function bytesOf(step: StepRecord): number {
  return FIXED_BYTES + (step.output?.length ?? 0) + (step.error?.length ?? 0) + (step.compensateArgs?.length ?? 0);
}

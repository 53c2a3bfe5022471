import type { OwnedRun } from '../core/run.js';
import type { History, OpenWait, StepRecord } from '../core/step.js';

/**
 * Bytes of payloads that the histories of all runs may take together, and the most suspended runs
 * with a history.
 */
const MAX_BYTES = 16 << 20;
const MAX_RUNS = 1_000;
/** Bytes that a step or a wait takes beside its payload. */
const FIXED_BYTES = 300;

/** The history of a run in memory: loaded once, and extended as results become durable. */
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

  /** Adds a step that became durable. */
  recorded(step: StepRecord, closesWait: boolean): void {
    this.steps.push(step);
    if (closesWait) this.waits.delete(step.stepKey);
    this.cache.grown(this, bytesOf(step));
  }

  /**
   * Adds a wait that became durable. As in the table, the wait with more attempts replaces one with
   * the same key.
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

/** The part of a claimed run's history that is in memory, and where loading begins. */
export interface KnownPart {
  readonly history: History;
  /**
   * Steps after this one must be loaded, and the waits; `undefined` when the history is complete.
   */
  readonly loadAfter: number | undefined;
}

/**
 * Keeps the histories of runs that this process suspended lately, so that a run that waits often is
 * not loaded each time: a parent of n children would load n * n / 2 rows.
 *
 * The claim says how much of a kept history is still right. Each claim raises the epoch by one: the
 * next epoch means that no other process had the run meanwhile. Other owners only add steps, unless
 * an operator removes some: a retry raises the generation. A run that was deleted and started again
 * began at another time. A failover that loses commits changes the server, and the worker then
 * forgets everything.
 */
export class HistoryCache {
  private bytes = 0;
  /** Histories of suspended runs, the run that was suspended first coming first. */
  private readonly suspended = new Map<string, KnownHistory>();
  private readonly inUse = new Set<KnownHistory>();

  constructor(private readonly limits: { readonly bytes: number; readonly runs: number } = { bytes: MAX_BYTES, runs: MAX_RUNS }) {}

  /**
   * Follows a run that begins here with this history. Returns undefined, and does not follow, where
   * the history is too large or the run is being cancelled.
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

  /** Keeps the history of a run that was suspended, for the next claim. */
  keep(known: KnownHistory): void {
    if (!this.inUse.delete(known)) return;
    this.suspended.set(known.run.id, known);
    if (this.suspended.size > this.limits.runs) this.dropOldest();
  }

  /** Forgets the history of a run that is no longer followed. */
  drop(known: KnownHistory): void {
    if (this.inUse.delete(known)) this.bytes -= known.bytes;
  }

  /** Removes and returns the known parts of the histories of runs that have just been claimed. */
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

  /** Forgets everything: the server that answers now may lack what the former server had. */
  clear(): void {
    this.suspended.clear();
    this.inUse.clear();
    this.bytes = 0;
  }

  /** Counts the bytes by which a followed history has grown. */
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
  return FIXED_BYTES + (step.output?.length ?? 0) + (step.error?.length ?? 0);
}

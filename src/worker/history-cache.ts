import type { OwnedRun } from '../core/run.js';
import type { History, OpenWait, StepRecord } from '../core/step.js';

/** Histories of all runs together may take so many bytes of payloads, and there may be so many. */
const MAX_BYTES = 16 << 20;
const MAX_RUNS = 1_000;
/** Bytes that a step or a wait takes beside its payload. */
const FIXED_BYTES = 300;

/** The history of a run as its owner has it: loaded once, and kept up as results become durable. */
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

  /** A step has become durable. */
  recorded(step: StepRecord, closesWait: boolean): void {
    this.steps.push(step);
    if (closesWait) this.waits.delete(step.stepKey);
    this.cache.grown(this, bytesOf(step));
  }

  /** A wait has become durable. As in the table, of two with the same key the one with more attempts counts. */
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

/** What a claimed run's history is made of: what is known, and what has to be loaded. */
export interface KnownPart {
  readonly history: History;
  /** Steps after this one have to be loaded, and the waits; `undefined` when nothing has. */
  readonly loadAfter: number | undefined;
}

/**
 * Histories of runs that this process has let go of lately, so that a run that waits again and again
 * is not loaded again and again: a parent of n children would load n * n / 2 rows.
 *
 * The claim says how much of one is still right. Each claim raises the epoch by one: the next epoch
 * means that nobody had the run meanwhile. Others only add steps, unless an operator removes some: a
 * retry raises the generation. A run that was deleted and started again has begun at another time. A
 * server that lost commits is another server, and everything is forgotten then.
 */
export class HistoryCache {
  private bytes = 0;
  /** Of runs that nobody here executes, the one that was let go of first coming first. */
  private readonly resting = new Map<string, KnownHistory>();
  private readonly inUse = new Set<KnownHistory>();

  constructor(private readonly limits: { readonly bytes: number; readonly runs: number } = { bytes: MAX_BYTES, runs: MAX_RUNS }) {}

  /** Follows a run that begins here with this history; not where it is too large, or the run is being stopped. */
  follow(run: OwnedRun, history: History): KnownHistory | undefined {
    const isStopping = history.waits.some(({ kind }) => kind === 'grace') || history.steps.some(({ kind }) => kind === 'cancel');
    const bytes = history.steps.reduce((sum, step) => sum + bytesOf(step), 0) + history.waits.length * FIXED_BYTES;
    if (isStopping || !this.makeRoom(bytes)) return undefined;
    const known = new KnownHistory(this, run, history, bytes);
    this.bytes += bytes;
    this.inUse.add(known);
    return known;
  }

  /** The run has been suspended: its history is kept for the next claim. */
  rest(known: KnownHistory): void {
    if (!this.inUse.delete(known)) return;
    this.resting.set(known.run.id, known);
    if (this.resting.size > this.limits.runs) this.dropOldest();
  }

  /** Forgets the history of a run that is no longer followed. */
  drop(known: KnownHistory): void {
    if (this.inUse.delete(known)) this.bytes -= known.bytes;
  }

  /** Takes out what is known of runs that have just been claimed. */
  takeAll(runs: readonly OwnedRun[]): Map<string, KnownPart> {
    const parts = new Map<string, KnownPart>();
    for (const run of runs) {
      const part = this.take(run);
      if (part) parts.set(run.id, part);
    }
    return parts;
  }

  private take(run: OwnedRun): KnownPart | undefined {
    const known = this.resting.get(run.id);
    if (!known) return undefined;
    this.resting.delete(run.id);
    this.bytes -= known.bytes;
    const { epoch, generation, startedAt } = known.run;
    if (run.generation !== generation || run.startedAt !== startedAt || run.epoch <= epoch) return undefined;
    const { history, lastSeq } = known;
    return { history, loadAfter: run.epoch === epoch + 1 ? undefined : lastSeq };
  }

  /** Forgets everything: another server may lack what this one had. */
  clear(): void {
    this.resting.clear();
    this.inUse.clear();
    this.bytes = 0;
  }

  /** A history that is followed has become larger. */
  grown(known: KnownHistory, bytes: number): void {
    if (!this.inUse.has(known)) return;
    if (!this.makeRoom(bytes)) return this.drop(known);
    known.bytes += bytes;
    this.bytes += bytes;
  }

  private makeRoom(bytes: number): boolean {
    while (this.bytes + bytes > this.limits.bytes && this.resting.size > 0) this.dropOldest();
    return this.bytes + bytes <= this.limits.bytes;
  }

  private dropOldest(): void {
    for (const [id, known] of this.resting) {
      this.resting.delete(id);
      this.bytes -= known.bytes;
      return;
    }
  }
}

function bytesOf(step: StepRecord): number {
  return FIXED_BYTES + (step.output?.length ?? 0) + (step.error?.length ?? 0);
}

/** A queue or a limit of steps, as this process knows it. */
export interface KnownQueue {
  readonly kind: 'queue' | 'step';
  readonly name: string;
  /** True when a run or a step may have to wait for a place or a slot. */
  readonly isLimited: boolean;
  readonly perWorker: number | null;
  /** True when the places are limited. */
  readonly hasPlaces: boolean;
  readonly hasRate: boolean;
  /** Milliseconds after its slot of a rate limit within which a body may begin. */
  readonly latenessMs: number;
}

/**
 * Queues and limits of steps, as far as this process knows them. The database decides which runs
 * get places; this knowledge only avoids work for queues without limits.
 */
export class KnownQueues {
  /** Called when the known queues have changed. */
  onChange: () => void = () => undefined;
  private queues = new Map<string, KnownQueue>();
  private steps = new Map<string, KnownQueue>();
  private revision = '';

  /** True when the database has a row for any queue or limit. */
  get isAny(): boolean {
    return this.queues.size > 0;
  }

  /** True when a queue limits the runs of each worker. */
  get hasPerWorker(): boolean {
    for (const { perWorker } of this.queues.values()) if (perWorker !== null) return true;
    return false;
  }

  /** True when any queue limits its runs. */
  get hasLimits(): boolean {
    for (const { isLimited } of this.queues.values()) if (isLimited) return true;
    return false;
  }

  /** Names of the queues with rate limits. */
  get rated(): string[] {
    return [...this.queues.values()].flatMap(({ name, hasRate }) => (hasRate ? [name] : []));
  }

  isLimited(queue: string): boolean {
    return this.queues.size > 0 && (this.queues.get(queue)?.isLimited ?? false);
  }

  perWorkerOf(queue: string): number | null {
    return this.queues.get(queue)?.perWorker ?? null;
  }

  queue(name: string): KnownQueue | undefined {
    return this.queues.get(name);
  }

  step(name: string): KnownQueue | undefined {
    return this.steps.get(name);
  }

  /** True when the given revision of the table is newer than the known queues. */
  isStale(revision: string | null): boolean {
    return (revision ?? '') !== this.revision;
  }

  refresh(rows: readonly KnownQueue[], revision: string | null): void {
    const byName = (kind: string): Map<string, KnownQueue> =>
      new Map(rows.filter((row) => row.kind === kind).map((row) => [row.name, row]));
    this.queues = byName('queue');
    this.steps = byName('step');
    this.revision = revision ?? '';
    this.onChange();
  }
}

/**
 * Decides when the work behind a call may begin: not while the recorded part is being replayed, not while the pass is held, and a body not before
 * everything that the code had seen when it made the call is durable.
 */
export class DurabilityGate {
  /** What may not begin yet, because of replay or because the pass is held. */
  private deferred: (() => void)[] = [];
  private gated: (() => void)[] = [];
  private held = false;
  private probedSeq = 0;
  /** The `seq` of the last result that the code has seen. */
  seenSeq = 0;

  constructor(
    private live: boolean,
    private durableSeq: number,
  ) {}

  get isLive(): boolean {
    return this.live;
  }

  /** Whether the pass is live and not held. */
  get isOpen(): boolean {
    return this.live && !this.held;
  }

  /** Results up to this one are durable. */
  get durable(): number {
    return this.durableSeq;
  }

  /**
   * Finds out if the database accepts results. Remembers `lastSeq` for the next probe.
   *
   * @param lastSeq the last result that was handed to the journal
   * @returns true when every result handed in before the previous probe is durable
   */
  probe(lastSeq: number): boolean {
    const before = this.probedSeq;
    this.probedSeq = lastSeq;
    return this.durableSeq >= before;
  }

  get isGating(): boolean {
    return this.gated.length > 0;
  }

  begin(begin: () => void): void {
    if (this.live && !this.held) begin();
    else this.deferred.push(begin);
  }

  /**
   * Begins once everything that the code has seen is durable: not only what it had seen when it made the call, because branches share variables.
   */
  whenDurable(begin: () => void): void {
    if (this.held) this.deferred.push(() => this.whenDurable(begin));
    else if (this.durableSeq >= this.seenSeq) begin();
    else this.gated.push(begin);
  }

  becameDurable(seq: number): void {
    this.durableSeq = Math.max(this.durableSeq, seq);
    if (this.durableSeq < this.seenSeq) return;
    for (const begin of this.gated.splice(0)) this.whenDurable(begin);
  }

  /** Everything recorded has been delivered. */
  goLive(): void {
    if (this.live) return;
    this.live = true;
    if (!this.held) this.release();
  }

  hold(): void {
    this.held = true;
  }

  resume(): void {
    this.held = false;
    if (this.live) this.release();
  }

  /** Forgets the work of calls that will not be done. */
  clear(): void {
    this.deferred = [];
    this.gated = [];
  }

  private release(): void {
    for (const begin of this.deferred.splice(0)) begin();
  }
}

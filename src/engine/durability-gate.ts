/**
 * Decides when the work of a call may begin. Nothing begins while the recorded part is replayed or
 * the pass is held. A body waits until everything that the code has seen is durable.
 */
export class DurabilityGate {
  /** Work that waits for the end of the replay, or of a hold. */
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

  /** True when the pass is live and not held. */
  get isOpen(): boolean {
    return this.live && !this.held;
  }

  /** The `seq` up to which results are durable. */
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
   * Calls `begin` once everything that the code has seen is durable. That includes results that the
   * code saw after it made the call, because branches share variables.
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

  /** Ends the replay, after everything recorded was delivered. */
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

  /** Drops work that has not begun, because its calls will be rejected or never settle. */
  clear(): void {
    this.deferred = [];
    this.gated = [];
  }

  private release(): void {
    for (const begin of this.deferred.splice(0)) begin();
  }
}

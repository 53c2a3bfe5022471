/**
 * Decides when the work of a durable call may begin. No work begins while recorded results are
 * replayed, or while the worker holds the pass (`Pass.hold`). A step body also waits until all
 * results that the workflow's code has received are durable.
 */
export class DurabilityGate {
  /** Work that begins when the replay or the hold has ended. */
  private deferred: (() => void)[] = [];
  private gated: (() => void)[] = [];
  private storing: { readonly seq: number; readonly resolve: () => void }[] = [];
  private held = false;
  private probedSeq = 0;
  /** Number of records on which the code already relies, and which have no number yet. */
  private unnumbered = 0;
  /** Number (`seq`) of the last result that the workflow's code has received. */
  seenSeq = 0;

  constructor(
    private live: boolean,
    private durableSeq: number,
  ) {}

  get isLive(): boolean {
    return this.live;
  }

  /** True when the replay is over and the pass is not held. */
  get isOpen(): boolean {
    return this.live && !this.held;
  }

  /** Number (`seq`) up to which all results are durable. */
  get durable(): number {
    return this.durableSeq;
  }

  /**
   * Finds out if the database accepts results. Remembers `lastSeq` for the next probe.
   *
   * @param lastSeq number of the last result that was handed to the journal
   * @returns true when every result that was handed over before the previous probe is durable now
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
   * Calls `begin` once all results that the workflow's code has received are durable. Results that
   * the code received after it made the call count too. Another branch may have stored such a
   * result in a variable that the body reads.
   */
  whenDurable(begin: () => void): void {
    if (this.held) this.deferred.push(() => this.whenDurable(begin));
    else if (this.unnumbered === 0 && this.durableSeq >= this.seenSeq) begin();
    else this.gated.push(begin);
  }

  /** Keeps work from beginning until `numbered` is called, as often as this method. */
  awaitNumber(): void {
    this.unnumbered++;
  }

  /** Notes that a record on which the code relies has its number, and was handed to the journal. */
  numbered(): void {
    this.unnumbered--;
    this.beginGated();
  }

  /** Resolves when all results up to `seq` are durable. */
  stored(seq: number): Promise<void> {
    if (this.durableSeq >= seq) return Promise.resolve();
    return new Promise((resolve) => this.storing.push({ seq, resolve }));
  }

  becameDurable(seq: number): void {
    this.durableSeq = Math.max(this.durableSeq, seq);
    if (this.storing.length > 0) {
      for (const { resolve } of this.storing.filter((each) => each.seq <= this.durableSeq)) resolve();
      this.storing = this.storing.filter((each) => each.seq > this.durableSeq);
    }
    this.beginGated();
  }

  /** Ends the replay. Called when all recorded results were delivered. */
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

  /**
   * Drops work that has not begun. Called when the calls that need the work will reject or never
   * settle.
   */
  clear(): void {
    this.deferred = [];
    this.gated = [];
  }

  private beginGated(): void {
    if (this.durableSeq < this.seenSeq) return;
    for (const begin of this.gated.splice(0)) this.whenDurable(begin);
  }

  private release(): void {
    for (const begin of this.deferred.splice(0)) begin();
  }
}

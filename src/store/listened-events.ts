import type { RunEventName } from '../core/run-events.js';

/**
 * Run events for which any process has a listener, as far as this process knows. A flush records
 * only these events. So a process writes nothing for events while the database has no listeners.
 */
export class ListenedEvents {
  /** Called when this process has recorded events, or has learned of ended runs. */
  onRecorded: () => void = () => undefined;
  private names: ReadonlySet<string> = new Set();

  /** True when a listener receives any event. */
  get isAny(): boolean {
    return this.names.size > 0;
  }

  has(event: RunEventName): boolean {
    return this.names.size > 0 && this.names.has(event);
  }

  /**
   * Replaces the known events.
   *
   * @param names names as the database returns them; null when there are no listeners
   */
  refresh(names: readonly string[] | null): void {
    if (names === null && this.names.size === 0) return;
    this.names = new Set(names);
  }

  /** Reports that events were recorded, so that listeners of this process are called at once. */
  recorded(): void {
    if (this.isAny) this.onRecorded();
  }
}

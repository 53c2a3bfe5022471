import type { RunEventName } from '../core/run-events.js';

/**
 * Run events for which any process has a listener, as far as this process knows. A flush records
 * only these events. So a process writes nothing for events while the database has no listeners.
 */
export class ListenedEvents {
  /** Called when this process has recorded events, so that it notifies other processes. */
  onRecorded: () => void = () => undefined;
  /** Called when this process or another one has recorded events. */
  onAvailable: () => void = () => undefined;
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

  /** Reports that this process has recorded events, so that their listeners are called at once. */
  recorded(): void {
    if (!this.isAny) return;
    this.onAvailable();
    this.onRecorded();
  }
}

import type { PassHandle } from './pass-handle.js';
import type { PassPort } from './ports.js';

/**
 * Largest number of dropped payloads that one pass writes to the history. Anyone who has a hook's
 * URL can send any number of invalid payloads.
 */
const MAX_DROPS_NOTED = 100;

/** Deletes messages that the wait of a hook has refused. */
export class DroppedPayloads {
  private count = 0;

  constructor(
    private readonly port: PassPort,
    private readonly pass: Pick<PassHandle, 'encodeError'>,
  ) {}

  /** Deletes a message that a step's wait has refused, and writes the reason to the history. */
  drop(stepKey: string, messageId: string, refusal: Error): void {
    const isNoted = ++this.count <= MAX_DROPS_NOTED;
    const data = isNoted ? this.pass.encodeError(refusal) : null;
    this.port.journal.dropMessage(messageId, isNoted ? { kind: 'payload_dropped', stepKey, attempt: null, data } : null);
    // Logs no reason, because a reason may quote the payload. A payload comes from outside, and
    // must not reach the logs. The history has the reason.
    this.port.warn('hook-payload-dropped', `step "${stepKey}" dropped a payload that does not fit the schema of its hook`);
  }
}

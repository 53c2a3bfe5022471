import type { EntityManager } from 'typeorm';

import { checkOptions } from '../core/check-options.js';
import { HookNotFoundError, InvalidInputError, PayloadTooLargeError, RunEndedError, RunNotFoundError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { isTerminal, type RunStatus } from '../core/run.js';
import { encode } from '../core/serializer/index.js';
import { checkSignal } from '../core/signal.js';
import { bumpRuns } from '../store/sql/bump-runs.js';
import { resumeHook } from '../store/sql/hooks.js';
import { forwardSignals, sendSignal, sendSignalSql, signalValues, type OutgoingSignal, type SignalSent } from '../store/sql/send-signal.js';
import { openTransactionOf } from './commit-watch.js';
import type { ClientSurroundings } from './surroundings.js';

/** How a signal is sent. */
export interface SendOptions {
  /** A signal of that name and key is sent to the run once, however often it is tried. */
  idempotencyKey?: string;
  /** Join this transaction: the signal is sent when it commits, and never if it does not. */
  manager?: EntityManager;
}

/** Leaves messages for runs, and tells the runs. */
export class Sender {
  constructor(private readonly surroundings: ClientSurroundings) {}

  /** @throws InvalidInputError, SerializationError, PayloadTooLargeError, RunNotFoundError, RunEndedError */
  async signal(runId: string, signal: unknown, payload: unknown, options: SendOptions): Promise<void> {
    const { name } = checkSignal(signal, 'signal');
    checkOptions(options, 'options', ['idempotencyKey', 'manager']);
    const { idempotencyKey, manager } = options;
    const outgoing = {
      runId: checkText(runId, 'runId'),
      name,
      payload: this.encode(payload === undefined ? true : payload),
      idempotencyKey: idempotencyKey === undefined ? null : checkText(idempotencyKey, 'options.idempotencyKey'),
    };
    if (manager !== undefined) return this.signalWith(manager, outgoing);
    const sent = check(runId, await sendSignal(this.surroundings.database, outgoing));
    if (sent.isNew) await this.tell(sent.runId);
  }

  /** @throws InvalidInputError, SerializationError, PayloadTooLargeError, HookNotFoundError, RunEndedError */
  async resumeHook(token: string, payload: unknown): Promise<void> {
    const found = await resumeHook(
      this.surroundings.database,
      checkText(token, 'token'),
      this.encode(payload === undefined ? null : payload),
    );
    if (!found) throw new HookNotFoundError();
    if (found.isClosed) throw new RunEndedError(found.runId);
    await this.tell(found.runId);
  }

  /** Tells a run that a message has come. Whatever keeps it from that, the inbox sweep will. */
  async tell(runId: string): Promise<void> {
    try {
      const [bumped] = await bumpRuns(this.surroundings.database, [runId]);
      if (!bumped) {
        const successor = await forwardSignals(this.surroundings.database, runId);
        return successor === undefined ? undefined : await this.tell(successor);
      }
      if (bumped.status === 'pending') this.surroundings.due([bumped], undefined);
      else if (bumped.status === 'running') this.surroundings.messaged(runId);
    } catch {
      // The message is durable.
    }
  }

  private async signalWith(manager: EntityManager, outgoing: OutgoingSignal): Promise<void> {
    const transaction = openTransactionOf(manager);
    if (!transaction)
      throw new InvalidInputError('options.manager', 'has no open transaction: pass the manager that dataSource.transaction() gives');
    const [row] = await manager.query<{ id: string; status: RunStatus; sent: number }[]>(
      sendSignalSql(this.surroundings.database.schema),
      signalValues(outgoing),
    );
    const sent = check(outgoing.runId, row && { runId: row.id, status: row.status, isNew: row.sent === 1 });
    transaction.afterCommit(() => void this.tell(sent.runId));
  }

  private encode(payload: unknown): string {
    const text = encode(payload, 'payload');
    const limit = this.surroundings.maxPayloadBytes;
    const bytes = text.length * 3 > limit ? Buffer.byteLength(text) : 0;
    if (bytes > limit) throw new PayloadTooLargeError('payload', bytes, limit);
    return text;
  }
}

function check(runId: string, sent: SignalSent | undefined): SignalSent {
  if (!sent) throw new RunNotFoundError(runId);
  if (isTerminal(sent.status)) throw new RunEndedError(runId);
  return sent;
}

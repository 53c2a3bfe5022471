import { checkOptions } from '../core/check-options.js';
import { checkEvent, type NewEvent } from '../core/event.js';
import { checkText, newRunId } from '../core/ids.js';
import { sendWithin, tracer } from '../core/tracing.js';
import { encodeEvent } from '../engine/events.js';
import { emitEvent, emitInTransaction } from '../store/sql/emit-event.js';
import type { ClientDependencies } from './dependencies.js';
import type { ClientEmitOptions } from './emit-options.js';
import { callerError } from './transactions/caller-errors.js';
import type { CallerTransactions, JoinedTransaction } from './transactions/caller-transactions.js';

/** Stores events, and tells the dispatchers. */
export class Emitter {
  constructor(
    private readonly dependencies: ClientDependencies,
    private readonly transactions: CallerTransactions,
  ) {}

  /**
   * Emits an event.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError, TransactionConflictError,
   *   DatabaseUnavailableError
   */
  async emit(event: unknown, payload: unknown, options: ClientEmitOptions): Promise<void> {
    const definition = checkEvent(event, 'event');
    const given = checkOptions(options, 'options', ['id', 'manager']);
    const id = given.id === undefined ? newRunId() : checkText(given.id, 'options.id');
    const joined = this.transactions.find(given.manager);
    const { payloads } = this.dependencies;
    const { key, stored } = await encodeEvent(definition, payload, (value) => payloads.encode(value, 'payload', '', 'event'));
    const emitted = { name: definition.name, id, key, payload: stored, runId: null, traceContext: null };
    if (!tracer) return this.store(joined, emitted);
    return sendWithin(tracer.send('emit', undefined, definition.name), (traceContext) =>
      this.store(joined, { ...emitted, traceContext: traceContext ?? null }),
    );
  }

  private async store(joined: JoinedTransaction | undefined, event: NewEvent): Promise<void> {
    const { dependencies } = this;
    if (!joined) {
      await dependencies.journal.ready();
      await emitEvent(dependencies.journal, event);
      return dependencies.emitted();
    }
    const { manager, transaction, argument } = joined;
    await this.transactions.verify(joined);
    let isNew: boolean;
    try {
      isNew = await emitInTransaction(dependencies.database, manager, event);
    } catch (error) {
      throw callerError(error, [event.id], argument);
    }
    if (isNew) transaction.afterCommit(() => dependencies.emitted());
  }
}

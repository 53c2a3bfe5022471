import { checkOptions } from '../core/check-options.js';
import { InboxFullError, RunEndedError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { isTerminal } from '../core/run.js';
import { checkSignal } from '../core/signal.js';
import { sendWithin, tracer } from '../core/tracing.js';
import { validate } from '../core/standard-schema.js';
import { sendSignal, sendSignalInTransaction, type OutgoingSignal, type SignalSent } from '../store/sql/send-signal.js';
import { callerError } from './transactions/caller-errors.js';
import type { SendOptions } from './send-options.js';
import type { CallerTransactions, JoinedTransaction } from './transactions/caller-transactions.js';
import { HookIntake } from './hook-intake.js';
import { runNotFound } from './follow.js';
import type { ClientDependencies } from './dependencies.js';

/** Stores messages in the inboxes of runs, and notifies the runs. */
export class Sender {
  private readonly hookIntake: HookIntake;

  constructor(
    private readonly dependencies: ClientDependencies,
    private readonly transactions: CallerTransactions,
  ) {
    this.hookIntake = new HookIntake(dependencies);
  }

  /**
   * Sends a signal to a run.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError, RunNotFoundError,
   *   RunEndedError, InboxFullError
   */
  async signal(runId: string, signal: unknown, payload: unknown, options: SendOptions): Promise<void> {
    const { name, schema } = checkSignal(signal, 'signal');
    const { idempotencyKey, manager } = checkOptions(options, 'options', ['idempotencyKey', 'manager']);
    const id = checkText(runId, 'runId');
    const joined = this.transactions.find(manager);
    const value = schema ? await validate(schema, payload, 'payload') : payload;
    const outgoing = {
      runId: id,
      name,
      payload: this.dependencies.payloads.encode(value === undefined ? true : value, 'payload', id, 'message'),
      idempotencyKey: idempotencyKey === undefined ? null : checkText(idempotencyKey, 'options.idempotencyKey'),
      note: null,
    };
    if (!tracer) return this.store(joined, outgoing);
    return sendWithin(tracer.send('signal', id, name), (traceContext) => this.store(joined, { ...outgoing, traceContext }));
  }

  private async store(joined: JoinedTransaction | undefined, outgoing: OutgoingSignal): Promise<void> {
    if (joined) return this.signalIn(joined, outgoing);
    const sent = await this.check(outgoing.runId, await sendSignal(this.dependencies.database, outgoing));
    if (sent.isNew) await this.dependencies.notifier.notify([sent.runId]);
  }

  /**
   * Sends a payload to the run that created a hook.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError, HookNotFoundError,
   *   RunEndedError, InboxFullError
   */
  async resumeHook(token: string, payload: unknown): Promise<void> {
    const hook = await this.hookIntake.find(checkText(token, 'token'));
    await this.hookIntake.accept(hook, { body: payload === undefined ? null : payload, headers: {}, deliveryId: undefined });
  }

  private async signalIn(joined: JoinedTransaction, outgoing: OutgoingSignal): Promise<void> {
    const { manager, transaction, argument } = joined;
    await this.transactions.verify(joined);
    let found: SignalSent | undefined;
    try {
      found = await sendSignalInTransaction(this.dependencies.database, manager, outgoing);
    } catch (error) {
      throw callerError(error, [outgoing.runId], argument);
    }
    const sent = await this.check(outgoing.runId, found);
    if (sent.isNew) transaction.afterCommit(() => void this.dependencies.notifier.notify([sent.runId]));
  }

  private async check(runId: string, sent: SignalSent | undefined): Promise<SignalSent> {
    if (!sent) throw await runNotFound(this.dependencies.database, runId);
    if (isTerminal(sent.status)) throw new RunEndedError(runId);
    if (sent.isFull) throw new InboxFullError(sent.runId);
    return sent;
  }
}

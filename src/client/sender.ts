import { checkOptions } from '../core/check-options.js';
import { HookNotFoundError, RunEndedError, RunNotFoundError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { isTerminal, type RunStatus } from '../core/run.js';
import { checkSignal } from '../core/signal.js';
import { bumpRuns } from '../store/sql/bump-runs.js';
import { describeHook, resumeHook } from '../store/sql/hooks.js';
import {
  forwardSignals,
  sendSignal,
  sendSignalInTransactionSql,
  signalValues,
  type OutgoingSignal,
  type SignalSent,
} from '../store/sql/send-signal.js';
import { callerError } from './caller-errors.js';
import type { CallerTransactions, JoinedTransaction } from './caller-transactions.js';
import type { SendOptions } from './send-options.js';
import type { ClientSurroundings } from './surroundings.js';

/** Leaves messages for runs, and tells the runs. */
export class Sender {
  constructor(
    private readonly surroundings: ClientSurroundings,
    private readonly transactions: CallerTransactions,
  ) {}

  /** @throws InvalidInputError, SerializationError, PayloadTooLargeError, RunNotFoundError, RunEndedError */
  async signal(runId: string, signal: unknown, payload: unknown, options: SendOptions): Promise<void> {
    const { name } = checkSignal(signal, 'signal');
    const { idempotencyKey, manager } = checkOptions(options, 'options', ['idempotencyKey', 'manager']);
    const id = checkText(runId, 'runId');
    const outgoing = {
      runId: id,
      name,
      payload: this.surroundings.payloads.encode(payload === undefined ? true : payload, 'payload', id, 'message'),
      idempotencyKey: idempotencyKey === undefined ? null : checkText(idempotencyKey, 'options.idempotencyKey'),
    };
    const joined = this.transactions.find(manager);
    if (joined) return this.signalIn(joined, outgoing);
    const sent = check(id, await sendSignal(this.surroundings.database, outgoing));
    if (sent.isNew) await this.tell(sent.runId);
  }

  /** @throws InvalidInputError, SerializationError, PayloadTooLargeError, HookNotFoundError, RunEndedError */
  async resumeHook(token: string, payload: unknown): Promise<void> {
    const { database, payloads } = this.surroundings;
    const hook = await describeHook(database, checkText(token, 'token'));
    if (!hook) throw new HookNotFoundError();
    const text = payloads.encode(payload === undefined ? null : payload, 'payload', hook.runId, 'message');
    const found = await resumeHook(database, token, text);
    if (!found) throw new HookNotFoundError();
    if (found.isClosed) throw new RunEndedError(found.runId);
    await this.tell(found.runId);
  }

  private async signalIn(joined: JoinedTransaction, outgoing: OutgoingSignal): Promise<void> {
    const { manager, transaction, argument } = joined;
    await this.transactions.verify(joined);
    let rows: { id: string; status: RunStatus; sent: number }[];
    try {
      rows = await manager.query(sendSignalInTransactionSql(this.surroundings.database.schema), signalValues(outgoing));
    } catch (error) {
      throw callerError(error, [outgoing.runId], argument);
    }
    const [row] = rows;
    const sent = check(outgoing.runId, row && { runId: row.id, status: row.status, isNew: row.sent === 1 });
    if (sent.isNew) transaction.afterCommit(() => void this.tell(sent.runId));
  }

  /** Tells a run that a message has come. Whatever keeps it from that, the inbox sweep will. */
  async tell(runId: string): Promise<void> {
    const { database } = this.surroundings;
    try {
      const [bumped] = await bumpRuns(database, [runId]);
      if (!bumped) {
        const successor = await forwardSignals(database, runId);
        return successor === undefined ? undefined : await this.tell(successor);
      }
      if (bumped.status === 'pending') this.surroundings.due([bumped], undefined);
      else if (bumped.status === 'running') this.surroundings.messaged(runId);
    } catch {
      // The message is durable.
    }
  }
}

function check(runId: string, sent: SignalSent | undefined): SignalSent {
  if (!sent) throw new RunNotFoundError(runId);
  if (isTerminal(sent.status)) throw new RunEndedError(runId);
  return sent;
}

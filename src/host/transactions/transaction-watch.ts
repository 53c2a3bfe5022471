import type { QueryRunner } from 'typeorm';

import { transactionControls } from '../../client/transactions/transaction-control.js';
import { InvalidInputError, NotInTransactionError } from '../../core/errors/index.js';
import { clearTimeout, setTimeout } from '../../core/timers.js';
import type { CallerConnection } from '../../store/sql/record-in-transaction.js';
import { guardDriver } from './driver-guard.js';
import { sqlStateOf } from './sql-state.js';

/** Name of a savepoint that TypeORM sets for a nested transaction. */
const NESTED = /^typeorm_\d+$/;

/** Milliseconds that the server may take to answer COMMIT or ROLLBACK. */
const END_MS = 15_000;

type Query = (text: string, ...rest: unknown[]) => Promise<unknown>;

/**
 * Watches the statements of one transaction, on its query runner and on the driver's connection.
 *
 * | State        | Statements that are sent                                              |
 * | ------------ | --------------------------------------------------------------------- |
 * | `beginning`  | START TRANSACTION, together with the limits of the transaction        |
 * | `open`       | statements of the body, except transaction control such as COMMIT      |
 * | `committing` | one COMMIT                                                            |
 * | `rollingBack`| ROLLBACK                                                              |
 *
 * A statement that the body sends after its end is refused. Outside the transaction it would be
 * executed on its own, and its effect would stay even if the transaction is rolled back.
 */
export class TransactionWatch {
  private state: 'beginning' | 'open' | 'committing' | 'rollingBack' = 'open';
  private begin: { readonly isolation: string | undefined; readonly limits: string | undefined } | undefined;
  private readonly nested: string[] = [];
  private sending = 0;
  private client: CallerConnection | undefined;
  /** True once COMMIT was sent. */
  isCommitSent = false;
  /** True when the server has answered that the transaction is committed. */
  isCommitted = false;
  /** True once the body has ended without an error. */
  isBodyOver = false;
  /** First error of a statement of the body; once the body has ended, the last error. */
  failure: unknown;

  /**
   * Begins to watch the query runner of a transaction.
   *
   * @param begin isolation level and limits of a transaction that has not begun. Both share a round
   *   trip with START TRANSACTION
   */
  async install(runner: QueryRunner, begin?: TransactionWatch['begin']): Promise<void> {
    this.begin = begin;
    if (begin) this.state = 'beginning';
    const send = runner.query.bind(runner) as unknown as Query;
    const watched: Query = (text, ...rest) => this.send(send, text, rest);
    (runner as { query: unknown }).query = watched;
    this.client = (await runner.connect()) as CallerConnection;
    // An end of the transaction behind TypeORM's back would commit a part of the body's writes.
    const unguard = guardDriver(this.client, (text) => this.isOpen && this.check(text));
    const release = runner.release.bind(runner);
    runner.release = async () => {
      // The connection would return to the pool with the open transaction.
      if (this.isOpen) throw new InvalidInputError('the query runner of a transactional step', 'must not be released by the body');
      unguard();
      await release();
    };
  }

  /** True from the start of the body until COMMIT or ROLLBACK. */
  private get isOpen(): boolean {
    return this.state === 'open' || (this.state === 'committing' && !this.isCommitSent);
  }

  /** Connection of the transaction. */
  get connection(): CallerConnection {
    return this.client!;
  }

  /** True while the server executes a statement of the body. */
  get isBusy(): boolean {
    return this.sending > 0;
  }

  /** Called when the transaction has begun. */
  opened(): void {
    if (this.state === 'beginning') this.state = 'open';
  }

  /**
   * Refuses all further statements of the body.
   *
   * @throws InvalidInputError when a nested transaction of the body is still open, or when the body
   *   has ended the transaction on the driver's connection
   */
  bodyEnded(): void {
    if (this.client?.getTransactionStatus?.() === 'I') {
      throw new InvalidInputError('the body of the step', 'must not end the transaction: the module commits when the body has ended');
    }
    if (this.nested.length > 0) {
      throw new InvalidInputError('the body of the step', 'ended before its nested transaction did: await manager.transaction()');
    }
    this.state = 'committing';
    this.isBodyOver = true;
  }

  /** Refuses every statement except ROLLBACK. */
  rollsBack(): void {
    this.state = 'rollingBack';
  }

  /** Executes a statement of the module in the transaction. */
  async own<T>(statement: () => Promise<T>): Promise<T> {
    try {
      return await statement();
    } catch (error) {
      // Once a statement of the body has failed, the server refuses all further ones.
      this.failure = sqlStateOf(error) === '25P02' ? (this.failure ?? error) : error;
      throw error;
    }
  }

  private async send(send: Query, text: string, rest: unknown[]): Promise<unknown> {
    if (this.state === 'beginning') return this.sendFirst(send, text, rest);
    if (this.state === 'committing') {
      if (text !== 'COMMIT' || this.isCommitSent) throw ended();
      return this.commit(send);
    }
    if (this.state === 'rollingBack') {
      // When a nested transaction is open, TypeORM rolls back only that one.
      if (!text.startsWith('ROLLBACK')) throw ended();
      return this.end(send, 'ROLLBACK');
    }
    this.check(text);
    this.sending++;
    try {
      const result = await send(text, ...rest);
      this.note(text);
      return result;
    } catch (error) {
      this.failure ??= error;
      throw error;
    } finally {
      this.sending--;
    }
  }

  private async commit(send: Query): Promise<unknown> {
    this.isCommitSent = true;
    try {
      const answer = await this.end(send, 'COMMIT');
      this.isCommitted = true;
      return answer;
    } catch (error) {
      this.failure = error;
      // The ROLLBACK that follows must reach the server.
      this.state = 'rollingBack';
      throw error;
    }
  }

  private async sendFirst(send: Query, text: string, rest: unknown[]): Promise<unknown> {
    const { isolation, limits } = this.begin!;
    // START TRANSACTION has set the level.
    if (text.startsWith('SET TRANSACTION')) return undefined;
    if (text !== 'START TRANSACTION') return send(text, ...rest);
    const level = isolation === undefined ? '' : ` ISOLATION LEVEL ${isolation}`;
    return send(`${text}${level}${limits === undefined ? '' : `; ${limits}`}`);
  }

  /** Sends COMMIT or ROLLBACK. Closes the connection when the server does not answer. */
  private async end(send: Query, text: string): Promise<unknown> {
    const timer = setTimeout(() => void this.client?.end?.().catch(() => undefined), END_MS);
    try {
      return await send(text);
    } finally {
      clearTimeout(timer);
    }
  }

  private check(text: string): void {
    for (const control of transactionControls(text)) {
      if ('name' in control) continue;
      throw new InvalidInputError(
        'a statement of a transactional step',
        `must not begin or end a transaction (${control.kind.toUpperCase()}): the module commits when the body has ended`,
      );
    }
  }

  private note(text: string): void {
    for (const control of transactionControls(text)) {
      if (!('name' in control) || !NESTED.test(control.name)) continue;
      const place = this.nested.lastIndexOf(control.name);
      if (control.kind === 'savepoint') this.nested.push(control.name);
      else if (place >= 0) this.nested.splice(place);
    }
  }
}

function ended(): NotInTransactionError {
  return new NotInTransactionError('the transaction or the body of the step has ended: await every statement inside the body');
}

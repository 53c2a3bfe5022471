import { setTimeout as sleep } from 'node:timers/promises';

import type { Type } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { currentManager, currentStep, NonRetryableError, Step, Workflow, type StepIsolation, type WorkflowContext } from 'nestjs-durable';
import type { DataSource, EntityManager } from 'typeorm';

import { ACCOUNTS } from './bank.js';
import { isDoomed, SHARES, type ShapeInput } from './shapes.js';
import { body, outside } from './workflows.js';

/** Movement of money from one account of the bank to another. */
interface Payment {
  readonly payer: number;
  readonly payee: number;
  readonly cents: number;
}

/** Many attempts, because faults cut the connections of most attempts. */
const retry = { maxAttempts: 100, initialInterval: 100, backoffCoefficient: 1.5, maxInterval: 1_000 };
/** A timeout frees the accounts that a silent connection has locked. */
const timeout = 4_000;
const SERIALIZABLE: StepIsolation = 'SERIALIZABLE';
const REPEATABLE_READ: StepIsolation = 'REPEATABLE READ';

const SELECT = 'SELECT cents FROM accounts WHERE id = $1';
const SET = 'UPDATE accounts SET cents = $2 WHERE id = $1';
const ADD = 'UPDATE accounts SET cents = cents + $2 WHERE id = $1';
const ENTER = 'INSERT INTO entries (run_id, step_key, of_key, payer, payee, cents, nonce) VALUES ($1, $2, $3, $4, $5, $6, $7)';

/** Undoes a payment once for each key, in one statement, and only if the payment was made. */
const GIVE_BACK_ONCE = `WITH entry AS (
  INSERT INTO entries (key, run_id, step_key, of_key, payer, payee, cents, nonce)
  SELECT $1, run_id, $2, step_key, payee, payer, cents, $5 FROM entries WHERE run_id = $3 AND step_key = $4
  ON CONFLICT (key) DO NOTHING RETURNING payer, payee, cents
)
UPDATE accounts a SET cents = a.cents + CASE a.id WHEN e.payee THEN e.cents ELSE -e.cents END FROM entry e WHERE a.id IN (e.payer, e.payee)`;

/** Idempotency keys of the steps in which this process has raised a conflict. */
const disturbed = new Set<string>();

/** Raises a conflict in a quarter of the steps, once for each step and process. */
async function disturb(manager: EntityManager, { cents }: Payment): Promise<void> {
  const { idempotencyKey } = currentStep();
  if (cents % 4 !== 0 || disturbed.has(idempotencyKey)) return;
  disturbed.add(idempotencyKey);
  const condition = cents % 8 === 0 ? 'serialization_failure' : 'deadlock_detected';
  await manager.query(`DO 'BEGIN RAISE ${condition}; END'`);
}

/** Counts the conflicts of a transaction, on a connection that no fault cuts. */
async function noteConflicts<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === '40001' || code === '40P01') await outside('INSERT INTO conflicts (code) VALUES ($1)', [code]);
    throw error;
  }
}

/**
 * Makes a payment in the transaction of the step. No key keeps it from happening twice.
 *
 * @param of key of the step that the payment undoes
 */
function pay(payment: Payment, ms: number, how: 'add' | 'read and write', of: string | null = null): Promise<string> {
  const manager = currentManager();
  const { runId, stepKey } = currentStep();
  const { payer, payee, cents } = payment;
  const change = async (account: number, by: number): Promise<void> => {
    if (how === 'add') return void (await manager.query(ADD, [account, by]));
    const [row] = await manager.query<{ cents: string }[]>(SELECT, [account]);
    await manager.query(SET, [account, Number(row!.cents) + by]);
  };
  return noteConflicts(async () => {
    await change(payer, -cents);
    await disturb(manager, payment);
    await sleep(ms / 2);
    await change(payee, cents);
    const nonce = await body(ms / 2);
    await manager.query(ENTER, [runId, stepKey, of, payer, payee, cents, nonce]);
    return nonce;
  });
}

/** Steps that move money between accounts, and their compensations. */
abstract class Payments {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  @Step({ transactional: true, timeout, retry, compensate: 'moveBack', compensateOn: 'attempted' })
  async move(payment: Payment, ms: number): Promise<string> {
    return pay(payment, ms, 'add');
  }

  @Step({ transactional: true, timeout, retry })
  async moveBack(_nonce: string | undefined, { payer, payee, cents }: Payment, ms: number): Promise<string> {
    const { runId, compensates } = currentStep();
    const { stepKey } = compensates!;
    const made = await currentManager().query<unknown[]>('SELECT 1 FROM entries WHERE run_id = $1 AND step_key = $2', [runId, stepKey]);
    return made.length === 0 ? body(ms) : pay({ payer: payee, payee: payer, cents }, ms, 'add', stepKey);
  }

  @Step({ transactional: { isolation: SERIALIZABLE }, timeout, retry, compensate: 'exchangeBack', compensateOn: 'attempted' })
  async exchange(payment: Payment, ms: number): Promise<string> {
    return pay(payment, ms, 'read and write');
  }

  async exchangeBack(_nonce: string | undefined, _payment: Payment, ms: number): Promise<string> {
    return this.giveBackOnce(ms);
  }

  /** A compensation without a transaction: its key makes it idempotent. */
  protected async giveBackOnce(ms: number): Promise<string> {
    const { runId, stepKey, idempotencyKey, compensates } = currentStep();
    const nonce = await body(ms);
    await this.dataSource.query(GIVE_BACK_ONCE, [idempotencyKey, stepKey, runId, compensates!.stepKey, nonce]);
    return nonce;
  }
}

/** Draws a payment between two accounts. */
function draw(ctx: WorkflowContext): Payment {
  const payer = Math.floor(ctx.random() * ACCOUNTS);
  const payee = (payer + 1 + Math.floor(ctx.random() * (ACCOUNTS - 1))) % ACCOUNTS;
  return { payer, payee, cents: 1 + Math.floor(ctx.random() * 10_000) };
}

@Workflow({ name: 'transfer' })
class Transfer extends Payments {
  async run({ size, ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const moved = await this.move(draw(ctx), ms);
    const exchanged = await this.exchange(draw(ctx), ms);
    await ctx.sleep(Math.round(napMs / 5));
    const shares = Array.from({ length: SHARES }, (_, n) => {
      const payment = draw(ctx);
      return ctx.step(
        'share',
        {
          key: String(n),
          transactional: { isolation: REPEATABLE_READ },
          timeout,
          retry,
          compensate: () => this.giveBackOnce(ms),
          compensateOn: 'attempted',
        },
        () => pay(payment, ms, 'read and write'),
      );
    });
    const doomed = async (): Promise<never> => {
      await body(ms);
      throw new NonRetryableError('refused');
    };
    const results = await Promise.all([...shares, ...(isDoomed(size) ? [ctx.step('doomed', doomed)] : [])]);
    return [moved, exchanged, ...results];
  }
}

/** Moves money twice, and ends only when it is cancelled. */
@Workflow({ name: 'recalled' })
class Recalled extends Payments {
  async run({ ms }: ShapeInput, ctx: WorkflowContext): Promise<void> {
    try {
      await this.move(draw(ctx), ms);
      await this.exchange(draw(ctx), ms);
      await ctx.sleep('10 minutes');
    } finally {
      await ctx.step('cleanup', () => body(ms));
    }
  }
}

export const TRANSFERS: Type[] = [Transfer, Recalled];

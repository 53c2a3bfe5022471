import { currentStep, NonRetryableError, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

import { isDoomed, type ShapeInput } from './shapes.js';
import { body, outside } from './workflows.js';

/**
 * Writes an entry of the ledger, which stands for another system: a repeated request with the same
 * key has no effect.
 */
async function post(key: string, of: string | null, cents: number): Promise<void> {
  const { runId } = currentStep();
  await outside('INSERT INTO ledger (key, run_id, of_key, cents) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [key, runId, of, cents]);
}

/** Steps that charge an account of the ledger, and their compensations. */
abstract class Charges {
  @Step({ compensate: 'refund' })
  async charge(cents: number, ms: number): Promise<string> {
    await post(currentStep().idempotencyKey, null, cents);
    return body(ms);
  }

  async refund(_nonce: string, cents: number, ms: number): Promise<string> {
    const { idempotencyKey, compensates } = currentStep();
    await post(idempotencyKey, compensates!.idempotencyKey, -cents);
    return body(ms);
  }
}

@Workflow({ name: 'booking' })
class Booking extends Charges {
  async run({ size, ms, napMs }: ShapeInput, ctx: WorkflowContext): Promise<string[]> {
    const cents = 1 + Math.floor(ctx.random() * 10_000);
    const first = await this.charge(cents, ms);
    try {
      await ctx.saga(async () => {
        await this.charge(cents + 1, ms);
        await ctx.step('full', async () => {
          await body(ms);
          throw new NonRetryableError('sold out');
        });
      });
    } catch (error) {
      if (!(error as Error).message.includes('sold out')) throw error;
    }
    await ctx.sleep(Math.round(napMs / 5));
    const doomed = async (): Promise<never> => {
      await body(ms);
      throw new NonRetryableError('no money');
    };
    const parallel = Array.from({ length: size }, (_, n) =>
      ctx.step('charge', { key: String(n), compensate: () => this.refund('', cents + n, ms) }, async () => {
        await post(currentStep().idempotencyKey, null, cents + n);
        return body(ms * (n % 3));
      }),
    );
    const results = await Promise.all([...parallel, ...(isDoomed(size) ? [ctx.step('doomed', doomed)] : [])]);
    return [first, ...results];
  }
}

/** Charges twice, and ends only when it is cancelled. */
@Workflow({ name: 'undone' })
class Undone extends Charges {
  async run({ ms }: ShapeInput, ctx: WorkflowContext): Promise<void> {
    try {
      await this.charge(700, ms);
      await this.charge(701, ms);
      await ctx.sleep('10 minutes');
    } finally {
      await ctx.step('cleanup', () => body(ms));
    }
  }
}

export const BOOKINGS = [Booking, Undone];

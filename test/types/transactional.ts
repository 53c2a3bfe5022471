// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import type { EntityManager } from 'typeorm';

import { currentManager, Step, Workflow, WorkflowModule, type StepIsolation, type WorkflowContext } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

@Workflow({ name: 'transactional' })
export class Transactional {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const count = await ctx.step('count', { transactional: true }, () => currentManager().query<number>('SELECT 1'));
    exactly<typeof count, number>(true);
    const moved = await this.move(5);
    exactly<typeof moved, string>(true);
    await ctx.step('level', { transactional: { isolation: 'SERIALIZABLE' }, timeout: '5s' }, () => undefined);
    // @ts-expect-error -- a step without a transaction leaves the option out
    await ctx.step('off', { transactional: false }, () => undefined);
    // @ts-expect-error -- not a level of PostgreSQL
    await ctx.step('level', { transactional: { isolation: 'SNAPSHOT' } }, () => undefined);
    // @ts-expect-error -- the level is missing
    await ctx.step('level', { transactional: {} }, () => undefined);
    // @ts-expect-error -- a misspelt option
    await ctx.step('level', { transactional: { isolationLevel: 'SERIALIZABLE' } }, () => undefined);
    exactly<ReturnType<typeof currentManager>, EntityManager>(true);
  }

  @Step({ transactional: { isolation: 'REPEATABLE READ' } })
  async move(cents: number): Promise<string> {
    return `${cents}`;
  }

  // @ts-expect-error -- not a level of PostgreSQL
  @Step({ transactional: { isolation: 'READ UNCOMMITTED' } })
  async wrong(): Promise<void> {}
}

export const module = WorkflowModule.forRoot({
  currentTransaction: () => undefined,
  runInTransaction: (work, isolation) => {
    exactly<typeof isolation, StepIsolation | undefined>(true);
    return work();
  },
});

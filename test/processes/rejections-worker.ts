import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { defineSignal, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../src/index.js';
import { waitFor } from '../support/wait.js';

const go = defineSignal('go');

/** Awaits a promise of its own too late. */
@Workflow({ name: 'late' })
class Late {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const reminder = this.remind(ctx);
    await ctx.waitForSignal(go);
    return reminder;
  }

  private async remind(ctx: WorkflowContext): Promise<string> {
    await ctx.sleep('1h');
    throw new Error('never comes here');
  }
}

@Workflow({ name: 'late in a race' })
class LateInRace {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const { key } = await ctx.race({
      loser: async () => {
        const own = ctx.sleep('1h').catch((cause: unknown) => {
          throw new Error('turned into another', { cause });
        });
        await ctx.waitForSignal(go);
        await own;
      },
      winner: () => ctx.sleep(20),
    });
    return key;
  }
}

/** Calls something in a branch that has lost, and that nobody awaits. */
@Workflow({ name: 'called late' })
class CalledLate {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    let end!: () => void;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const { key } = await ctx.race({
      loser: async () => {
        void (async () => {
          await ended;
          await ctx.step('too late', () => undefined);
        })();
        await ended;
      },
      winner: () => ctx.sleep(10),
    });
    end();
    await ctx.sleep(150);
    return key;
  }
}

@Workflow({ name: 'late hook' })
class LateHook {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook();
    const first = hook[Symbol.asyncIterator]().next();
    await ctx.sleep('1h');
    return first;
  }
}

@Module({
  imports: [WorkflowModule.forRoot({ connection: { url: process.env['DATABASE_URL']! }, worker: {} })],
  providers: [Late, LateInRace, LateHook, CalledLate],
})
class UnheardModule {}

async function main(): Promise<void> {
  const application = await NestFactory.createApplicationContext(UnheardModule, { logger: false });
  const client = application.get(WorkflowClient);
  for (const workflow of [Late, LateHook]) {
    const handle = await client.start(workflow);
    await waitFor(async () => (await handle.describe()).waits.length === 2);
    await handle.cancel();
    await handle.result().catch(() => undefined);
    console.log(await handle.status());
  }
  console.log(await client.execute(LateInRace));
  console.log(await client.execute(CalledLate));
  if (process.argv[2] === 'foreign') {
    void Promise.reject(new Error('of somebody else'));
    await new Promise((resolve) => setTimeout(resolve, 5_000));
  }
  await application.close();
  console.log(`listeners: ${process.listenerCount('unhandledRejection')}`);
}

void main();

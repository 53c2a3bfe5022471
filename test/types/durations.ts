// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import {
  parseDuration,
  Workflow,
  WorkflowModule,
  type ConfiguredDuration,
  type Duration,
  type WorkflowClient,
  type WorkflowContext,
} from '../../src/index.js';

export async function durations(ctx: WorkflowContext, client: WorkflowClient, days: number, setting: string): Promise<void> {
  await ctx.sleep(1_500);
  await ctx.sleep('250ms');
  await ctx.sleep('1.5 hours');
  await ctx.sleep('2 days');
  await ctx.sleep(`${days} days`);
  await ctx.sleep(`${days}m`);
  await ctx.sleep(parseDuration(setting, 'PAUSE'));
  const pause: Duration = '5 minutes';
  await client.getHandle('id').result({ timeout: pause });
  // @ts-expect-error no such unit
  await ctx.sleep('3 dayz');
  // @ts-expect-error months are not a unit
  await ctx.sleep('1 month');
  // @ts-expect-error the number is missing
  await ctx.sleep('a while');
  // @ts-expect-error the unit is missing
  await ctx.sleep('30');
  // @ts-expect-error the text is known only at run time
  await ctx.sleep(setting);
  // @ts-expect-error applies to a timeout too
  await client.getHandle('id').result({ timeout: '5 minuts' });
  // @ts-expect-error applies to a step too
  await ctx.step('charge', { timeout: '30 secondz' }, async () => 1);

  // Module options come from configuration files, and are checked at boot.
  const worker = { pollInterval: '50ms', shutdownTimeout: setting };
  WorkflowModule.forRoot({ worker, retention: { completed: setting } });
  WorkflowModule.forRootAsync({ useFactory: (text: string) => ({ worker: { sessionTtl: text } }), inject: ['TEXT'] });
  const configured: ConfiguredDuration = setting;
  void configured;
}

// @ts-expect-error a workflow must have a run method
@Workflow({ name: 'no-run' })
export class WithoutRun {
  async execute(): Promise<void> {}
}

// @ts-expect-error run is not async
@Workflow({ name: 'sync' })
export class WithSyncRun {
  run(): number {
    return 1;
  }
}

// @ts-expect-error run is a generator
@Workflow({ name: 'generator' })
export class WithGenerator {
  async *run(): AsyncGenerator<number> {
    yield 1;
  }
}

@Workflow({ name: 'fine' })
export class WithDependencies {
  constructor(
    private readonly client: WorkflowClient,
    readonly label: string,
  ) {}

  async run(): Promise<WorkflowClient> {
    return this.client;
  }
}

abstract class Base<I> {
  async run(input: I, _ctx: WorkflowContext): Promise<I> {
    return input;
  }
}

@Workflow({ name: 'inherits' })
export class Inherits extends Base<string> {}

// Checked by the compiler alone (npm run lint:types): what compiles here must, what is marked must not.
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
  // @ts-expect-error no unit is called so
  await ctx.sleep('3 dayz');
  // @ts-expect-error months are not a unit
  await ctx.sleep('1 month');
  // @ts-expect-error no number
  await ctx.sleep('a while');
  // @ts-expect-error no unit
  await ctx.sleep('30');
  // @ts-expect-error text that is known only when the process runs
  await ctx.sleep(setting);
  // @ts-expect-error of a timeout too
  await client.getHandle('id').result({ timeout: '5 minuts' });
  // @ts-expect-error of a step too
  await ctx.step('charge', { timeout: '30 secondz' }, async () => 1);

  // Options of the module come from configurations, and are checked at boot.
  const worker = { pollInterval: '50ms', shutdownTimeout: setting };
  WorkflowModule.forRoot({ worker });
  WorkflowModule.forRootAsync({ useFactory: (text: string) => ({ worker: { sessionTtl: text } }), inject: ['TEXT'] });
  const configured: ConfiguredDuration = setting;
  void configured;
}

// @ts-expect-error a workflow has a method run
@Workflow({ name: 'no-run' })
export class WithoutRun {
  async execute(): Promise<void> {}
}

// @ts-expect-error a run that is not async
@Workflow({ name: 'sync' })
export class WithSyncRun {
  run(): number {
    return 1;
  }
}

// @ts-expect-error a run that is a generator
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

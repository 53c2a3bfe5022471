import { Injectable, Scope, type DynamicModule, type Provider } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  defineSignal,
  getWorkflowClientToken,
  InvalidInputError,
  OnRunEvent,
  Workflow,
  WorkflowClient,
  WorkflowConfigurationError,
  WorkflowModule,
  type OnRunEventOptions,
  type RunEventOf,
  type WorkflowContext,
  type WorkflowModuleOptions,
} from '../../../src/index.js';
import { listenerWorkflows } from '../../../src/host/listener-host.js';
import { toSettings } from '../../../src/nest/options/options.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

type Completed = RunEventOf<'run.completed'>;

@Workflow({ name: 'order' })
class OrderWorkflow {
  async run(order: number): Promise<number> {
    return order;
  }
}

@Workflow({ name: 'invoice', module: 'billing' })
class InvoiceWorkflow {
  async run(invoice: number): Promise<number> {
    return invoice;
  }
}

describe('a class with listeners', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const unnamed = (options: WorkflowModuleOptions = {}): DynamicModule =>
    WorkflowModule.forRoot({ connection: { url: database.url }, worker: {}, ...options });
  const boot = (...providers: Provider[]) => bootApplication({ imports: [unnamed()], providers: [OrderWorkflow, ...providers] });

  it('receives the events of the module that it names, with inherited listeners and those of overrides', async () => {
    const heard: string[] = [];
    class Base {
      @OnRunEvent('run.completed')
      onOrder({ workflow }: Completed): void {
        heard.push(`base ${workflow}`);
      }
    }
    @Injectable()
    class Both extends Base {
      override onOrder({ workflow }: Completed): void {
        heard.push(`override ${workflow}`);
      }

      @OnRunEvent('run.completed', { workflow: InvoiceWorkflow, module: 'billing' })
      onInvoice({ workflow }: Completed): void {
        heard.push(`billing ${workflow}`);
      }
    }
    const billing = WorkflowModule.forRoot({ name: 'billing', connection: { url: database.url }, schema: 'billing', worker: {} });
    const module = await bootApplication({
      imports: [unnamed(), billing],
      providers: [OrderWorkflow, InvoiceWorkflow, Both, { provide: 'alias', useExisting: Both }],
    });
    await module.get(WorkflowClient).execute(OrderWorkflow, 1);
    await module.get<WorkflowClient>(getWorkflowClientToken('billing')).execute(InvoiceWorkflow, 2);
    await waitFor(() => heard.length >= 2);
    expect(heard.sort()).toEqual(['billing invoice', 'override order']);
  });

  it('is called before the application has closed, and not with further events', async () => {
    let release = (): void => undefined;
    const calls: string[] = [];
    @Injectable()
    class Slow {
      @OnRunEvent('run.completed', { name: 'slow' })
      async onCompleted({ runId }: Completed): Promise<void> {
        calls.push(runId);
        await new Promise<void>((resolve) => (release = resolve));
        calls.push('done');
      }
    }
    const module = await boot(Slow);
    const { runId } = await module.get(WorkflowClient).start(OrderWorkflow, 1);
    await waitFor(() => calls.length === 1);
    let isClosed = false;
    const closed = module.close().then(() => (isClosed = true));
    for (let round = 0; round < 20; round++) await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    release();
    await closed;
    expect(calls).toEqual([runId, 'done']);
    const left = await database.query(`SELECT 1 FROM durable.workflow_run_events WHERE run_id = $1 AND listener LIKE 'slow %'`, [runId]);
    expect(left).toEqual([]);
  });

  it('is called at once for an event that another process has recorded, with a worker or without', async () => {
    @Workflow({ name: 'goes on' })
    class GoesOn {
      async run(_input: void, ctx: WorkflowContext): Promise<void> {
        await ctx.step('charge', { retry: { maxAttempts: 1 } }, () => Promise.reject(new Error('no money'))).catch(() => undefined);
        await ctx.waitForSignal(defineSignal('go'));
      }
    }
    const heard: string[] = [];
    @Injectable()
    class Far {
      @OnRunEvent('step.failed', { name: 'far' })
      @OnRunEvent('run.cancelled', { name: 'far' })
      onEvent({ event, runId }: RunEventOf<'step.failed' | 'run.cancelled'>): void {
        heard.push(`${event} ${runId}`);
      }
    }
    await bootApplication({ imports: [unnamed({ worker: { queues: ['far'], maxPollInterval: '5m' } })], providers: [Far] });
    const executing = await bootApplication({ imports: [unnamed()], providers: [GoesOn] });
    const { runId } = await executing.get(WorkflowClient).start(GoesOn);
    await waitFor(() => heard.length > 0);
    expect(heard).toEqual([`step.failed ${runId}`]);
    // A client without a worker does not know which events have listeners.
    const remote = await bootApplication({ imports: [unnamed({ worker: false })], providers: [GoesOn] });
    await remote.get(WorkflowClient).terminate(runId);
    await waitFor(() => heard.length > 1);
    expect(heard).toContain(`run.cancelled ${runId}`);
  });

  it('is called durably with a shortened message when the error does not fit into a payload', async () => {
    @Workflow({ name: 'verbose' })
    class Verbose {
      async run(): Promise<void> {
        throw new Error('\u{1F4A5}"'.repeat(2_000));
      }
    }
    const messages: string[] = [];
    @Injectable()
    class Ledger {
      @OnRunEvent('run.failed', { workflow: Verbose, durable: true })
      onFailed({ error }: RunEventOf<'run.failed'>): void {
        messages.push(error.message);
      }
    }
    const module = await bootApplication({
      imports: [unnamed({ defaults: { maxPayloadBytes: 1_024 } })],
      providers: [Verbose, Ledger],
    });
    await module.get(WorkflowClient).start(Verbose);
    await waitFor(() => messages.length > 0);
    expect(messages[0]).toMatch(/^(\u{1F4A5}"){20,40}\u{1F4A5}?\.\.\. \(6000 characters\)$/u);
  });

  it('is not called in a process whose worker is off', async () => {
    @Injectable()
    class Off {
      @OnRunEvent('run.completed', { name: 'off' })
      onCompleted(): void {}
    }
    await bootApplication({ imports: [unnamed({ worker: false })], providers: [Off] });
    expect(await database.query(`SELECT 1 FROM durable.workflow_subscriptions WHERE listener LIKE 'off %'`)).toEqual([]);
  });

  it.each([Scope.REQUEST, Scope.TRANSIENT])('is refused at boot when its scope is %s', async (scope) => {
    @Injectable({ scope })
    class Scoped {
      @OnRunEvent('run.completed')
      onCompleted(): void {}
    }
    await expect(boot(Scoped)).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('@OnRunEvent() on Scoped.onCompleted: its class is not a singleton'),
    });
  });

  it('is refused at boot when another class has a listener with the same name', async () => {
    const make = () => {
      @Injectable()
      class Twin {
        @OnRunEvent('run.completed')
        onCompleted(): void {}
      }
      return Twin;
    };
    const [One, Two] = [make(), make()];
    await expect(boot(One, { provide: 'two', useClass: Two })).rejects.toThrow('two classes have the listener "Twin.onCompleted"');
  });

  it('is refused at boot when another class or method has its name, also for another event', async () => {
    @Injectable()
    class One {
      @OnRunEvent('run.failed', { name: 'shared', durable: true })
      onFailed(): void {}
    }
    @Injectable()
    class Two {
      @OnRunEvent('run.completed', { name: 'shared', durable: true })
      onCompleted(): void {}
    }
    await expect(boot(One, Two)).rejects.toThrow('two classes have the listener "shared"');
    @Injectable()
    class Both {
      @OnRunEvent('run.completed', { name: 'shared' })
      first(): void {}

      @OnRunEvent('run.completed', { name: 'shared' })
      second(): void {}
    }
    await expect(boot(Both)).rejects.toThrow(/the methods (first and second|second and first) both have the listener "shared"/);
  });

  it('is refused at boot when a method would be called twice with an event, or names a workflow of another module', async () => {
    @Injectable()
    class Twice {
      @OnRunEvent('run.completed')
      @OnRunEvent('run.completed', { workflow: 'order' })
      onCompleted(): void {}
    }
    await expect(boot(Twice)).rejects.toThrow('would be called twice with run.completed of workflow "order"');
    @Injectable()
    class Foreign {
      @OnRunEvent('run.completed', { workflow: InvoiceWorkflow })
      onCompleted(): void {}
    }
    await expect(boot(Foreign)).rejects.toBeInstanceOf(WorkflowConfigurationError);
  });

  it.each<[string, unknown, unknown]>([
    ['event', 'run.exploded', {}],
    ['options.workflow', 'run.failed', { workflow: undefined }],
    ['options.workflow', 'run.failed', { workflow: 7 }],
    ['options.durable', 'run.failed', { durable: 'yes' }],
    ['options.name', 'run.failed', { name: '' }],
    ['options.name', 'run.failed', { name: 'x'.repeat(201) }],
    ['options.module', 'run.failed', { module: 7 }],
    ['retry', 'run.failed', { retry: {} }],
  ])('is refused when it is loaded with an invalid argument: %s', (argument, event, options) => {
    const load = () => {
      class Bad {
        @OnRunEvent(event as 'run.failed', options as OnRunEventOptions)
        on(): void {}
      }
      return Bad;
    };
    expect(load).toThrow(InvalidInputError);
    expect(load).toThrow(argument);
  });

  it('is refused when a workflow has the name of a durable listener', async () => {
    @Workflow({ name: 'durable-listener:Alerts.onFailed' })
    class Imitation {
      async run(): Promise<void> {}
    }
    await expect(boot(Imitation)).rejects.toThrow('name must not start with "durable-listener:"');
  });
});

describe('a call of a durable listener', () => {
  const QSTASH = {
    QSTASH_TOKEN: 'token',
    QSTASH_TARGET_URL: 'https://shop.example',
    QSTASH_CURRENT_SIGNING_KEY: 'sig_1',
    QSTASH_NEXT_SIGNING_KEY: 'sig_2',
  };
  const onQStash = (deliveryTimeout: string): WorkflowModuleOptions => ({ transport: 'qstash', qstash: { deliveryTimeout } });

  it.each<[string, number, WorkflowModuleOptions]>([
    ['30 s by default', 30_000, {}],
    ['as long as the module allows its steps', 60_000, { defaults: { stepTimeout: '1m' } }],
    ['no longer than a request of QStash', 17_000, onQStash('20s')],
    [
      'no longer than a request of QStash, whatever the module allows its steps',
      17_000,
      { ...onQStash('20s'), defaults: { stepTimeout: '1m' } },
    ],
  ])('may take %s', (_what, expected, options) => {
    const listener = {
      key: 'a run.failed',
      name: 'a',
      event: 'run.failed',
      workflow: '',
      delivery: 'durable',
      call: () => undefined,
    } as const;
    const [workflow] = listenerWorkflows([listener], toSettings(options, QSTASH));
    expect(workflow!.definition.stepTimeoutMs).toBe(expected);
  });
});

import { Inject, Injectable, Scope, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { jest, afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  currentStep,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowConfigurationError,
  WorkflowModule,
  type WorkflowContext,
} from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { poolerOptions, reach } from '../../support/pooler.js';
import { seconds } from '../../support/wait.js';

let bodies: string[] = [];

class Payments {
  @Step({ retry: { maxAttempts: 1 } })
  async charge(): Promise<string> {
    bodies.push('base');
    return 'base';
  }

  @Step({ name: 'payments.refund' })
  async refund(): Promise<string> {
    bodies.push('base refund');
    return 'base refund';
  }
}

/** Calls both steps, then sleeps, so that another pass replays the calls. */
@Workflow({ name: 'pay' })
class PayWorkflow {
  constructor(@Inject(Payments) private readonly payments: Payments) {}

  async run(_: unknown, ctx: WorkflowContext): Promise<string[]> {
    const results = [await this.payments.charge(), await this.payments.refund()];
    await ctx.sleep(50);
    return results;
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(closeApplications);
afterAll(() => database.drop());

const moduleOf = async () =>
  WorkflowModule.forRoot({ worker: { suspendAfter: 0 }, connection: { url: await reach(database.url) }, ...poolerOptions(database.url) });
const boot = async (providers: Provider[]): Promise<WorkflowClient> => {
  bodies = [];
  return (await bootApplication({ imports: [await moduleOf()], providers })).get(WorkflowClient);
};
const pay = async (client: WorkflowClient): Promise<{ output: string[]; keys: string[] }> => {
  const handle = await client.start(PayWorkflow, undefined);
  const output = await handle.result({ timeout: seconds(45) });
  const steps = (await client.steps(handle.runId)).filter(({ kind }) => kind === 'step');
  return { output, keys: steps.map(({ stepKey }) => stepKey) };
};

describe('an override of a step', () => {
  it('is a step with the options of the base method, which is a plain call in its body', async () => {
    @Injectable()
    class Stripe extends Payments {
      override async charge(): Promise<string> {
        bodies.push(`stripe ${currentStep().stepKey}`);
        return `stripe and ${await super.charge()}`;
      }

      override async refund(): Promise<string> {
        bodies.push(`stripe ${currentStep().stepKey}`);
        throw new Error('refused');
      }
    }
    const client = await boot([PayWorkflow, { provide: Payments, useClass: Stripe }]);
    const handle = await client.start(PayWorkflow, undefined);
    await expect(handle.result({ timeout: seconds(45) })).rejects.toThrow();
    expect(bodies).toEqual(['stripe Stripe.charge', 'base', ...Array<string>(3).fill('stripe payments.refund')]);
  });

  it.each([
    ['a singleton', Scope.DEFAULT],
    ['a request-scoped provider', Scope.REQUEST],
  ])('is executed once for each run in %s', async (_, scope) => {
    @Injectable({ scope })
    class Adyen extends Payments {
      override async charge(): Promise<string> {
        bodies.push('adyen');
        return 'adyen';
      }
    }
    const client = await boot([PayWorkflow, { provide: Payments, useClass: Adyen }]);
    expect(await pay(client)).toEqual({ output: ['adyen', 'base refund'], keys: ['Adyen.charge', 'payments.refund'] });
    expect(bodies).toEqual(['adyen', 'base refund']);
  });

  it('is a step in a workflow’s own class, in a mixin, over several levels, and as a function in a field', async () => {
    const Audited = (Base: typeof Payments) =>
      class extends Base {
        override async charge(): Promise<string> {
          return `audited ${await super.charge()}`;
        }
      };
    class Middle extends Audited(Payments) {}
    class Last extends Middle {
      override readonly refund = async (): Promise<string> => {
        bodies.push('field');
        return 'field';
      };
    }
    abstract class BaseOrder {
      async run(_: unknown, ctx: WorkflowContext): Promise<string> {
        const charged = await this.charge();
        await ctx.sleep(50);
        return charged;
      }

      @Step()
      async charge(): Promise<string> {
        return 'base';
      }
    }
    @Workflow({ name: 'vip' })
    class VipOrder extends BaseOrder {
      override async charge(): Promise<string> {
        bodies.push('vip');
        return 'vip';
      }
    }
    const client = await boot([PayWorkflow, { provide: Payments, useClass: Last }, VipOrder]);
    expect(await pay(client)).toEqual({ output: ['audited base', 'field'], keys: ['Last.charge', 'payments.refund'] });
    expect(bodies).toEqual(['base', 'field']);
    await expect(client.execute(VipOrder, undefined, { id: 'vip' })).resolves.toBe('vip');
    expect(bodies).toEqual(['base', 'field', 'vip']);
    expect((await client.steps('vip')).map(({ stepKey }) => stepKey)).toContain('charge');
  });

  it('is executed once for each run in a fake, whose mock functions still record their calls', async () => {
    const charge = jest.fn(async () => 'pretended');
    const fake = { charge, refund: jest.fn<() => Promise<string>>() };
    const builder = Test.createTestingModule({ imports: [await moduleOf()], providers: [PayWorkflow, Payments] });
    const module = closeLater(await builder.overrideProvider(Payments).useValue(fake).compile());
    module.useLogger(false);
    await module.init();
    fake.refund.mockResolvedValue('nothing');
    expect(await pay(module.get(WorkflowClient))).toEqual({
      output: ['pretended', 'nothing'],
      keys: ['Payments.charge', 'payments.refund'],
    });
    expect(charge).toHaveBeenCalledTimes(1);
    expect(fake.refund).toHaveBeenCalledTimes(1);
    await expect(fake.charge()).resolves.toBe('pretended');
  });

  it('is executed once for each run in a class that is provided as the base class without extending it', async () => {
    class FakePayments {
      async charge(): Promise<string> {
        bodies.push('fake');
        return 'fake';
      }

      async refund(): Promise<string> {
        return 'fake';
      }
    }
    const client = await boot([PayWorkflow, { provide: Payments, useClass: FakePayments }]);
    expect((await pay(client)).keys).toEqual(['FakePayments.charge', 'payments.refund']);
    expect(bodies).toEqual(['fake']);
  });

  it('may be a spy that replaces the method before the boot', async () => {
    const spy = jest.spyOn(Payments.prototype, 'charge').mockResolvedValue('spied');
    try {
      expect((await pay(await boot([PayWorkflow, Payments]))).output).toEqual(['spied', 'base refund']);
      expect(spy).toHaveBeenCalledTimes(1);
    } finally {
      spy.mockRestore();
    }
  });

  it('causes a warning when it is a field of a request-scoped class', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Odd extends Payments {
      override charge = async (): Promise<string> => 'field';
    }
    const warnings: string[] = [];
    const logger = { log: () => undefined, warn: (message: string) => warnings.push(message), error: () => undefined };
    await bootApplication({ imports: [await moduleOf()], providers: [PayWorkflow, { provide: Payments, useClass: Odd }] }, logger);
    expect(warnings.filter((warning) => warning.includes('field'))).toEqual([expect.stringContaining('Odd.charge')]);
  });

  it.each<[string, () => Provider]>([
    [
      'a getter',
      () => {
        class Odd extends Payments {}
        Object.defineProperty(Odd.prototype, 'charge', { get: () => async () => 'got' });
        return Odd;
      },
    ],
    [
      'a generator',
      () => {
        class Odd extends Payments {
          override async *charge(): any {
            yield 'generated';
          }
        }
        return Odd;
      },
    ],
    ['frozen', () => ({ provide: 'ODD', useValue: Object.freeze(Object.assign(new Payments(), { charge: async () => 'frozen' })) })],
  ])('fails the boot when it is %s', async (_, make) => {
    const error = await boot([make()]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/\.charge replaces step Payments\.charge and cannot be a step/);
  });
});

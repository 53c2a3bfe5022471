import { Inject, Injectable, mixin, Module, Scope, type LoggerService, type Provider } from '@nestjs/common';
import { minifySync } from '@swc/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Step, StepsOf, Workflow, WorkflowClient, WorkflowConfigurationError, WorkflowModule } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { poolerOptions, reach } from '../../support/pooler.js';

interface Sender {
  send(to: string): Promise<string>;
}

/** Makes a class with the same name as every other class from this function. */
function notifier(channel: string): new () => Sender {
  @Injectable()
  class Notifier {
    @Step()
    async send(to: string): Promise<string> {
      return `${channel} to ${to}`;
    }
  }
  return Notifier;
}

const Email = notifier('email');
const Sms = notifier('sms');
const NamedSms = notifier('sms');
StepsOf('sms')(NamedSms);

@Workflow({ name: 'notify' })
class NotifyWorkflow {
  constructor(
    @Inject('FIRST') private readonly first: Sender,
    @Inject('SECOND') private readonly second: Sender,
  ) {}

  async run(to: string): Promise<string[]> {
    return [await this.first.send(to), await this.second.send(to)];
  }
}

const both = (First: new () => Sender, Second: new () => Sender): Provider[] => [
  First,
  Second,
  { provide: 'FIRST', useExisting: First },
  { provide: 'SECOND', useExisting: Second },
];

/** Evaluates classes with a step each, as a bundler's minifier writes them. */
function minified(source: string): (new () => Sender)[] {
  const { code } = minifySync(source, { compress: false, mangle: { toplevel: true }, module: false });
  // oxlint-disable-next-line typescript/no-implied-eval -- this is how a minified bundle is loaded
  const classes = new Function('take', code) as (take: (type: new () => Sender) => void) => void;
  const made: (new () => Sender)[] = [];
  classes((type) => {
    const descriptor = Object.getOwnPropertyDescriptor(type.prototype, 'send')!;
    Step()(type.prototype as object, 'send', descriptor);
    Object.defineProperty(type.prototype, 'send', descriptor);
    made.push(type);
  });
  return made;
}

let database: TestDatabase;
let warnings: string[];
const logger: LoggerService = {
  log: () => undefined,
  warn: (message: string) => warnings.push(message),
  error: () => undefined,
};

beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(closeApplications);
afterAll(() => database.drop());

const boot = async (providers: Provider[], isLogged = false): Promise<WorkflowClient> => {
  warnings = [];
  const connection = { url: await reach(database.url) };
  const imports = [WorkflowModule.forRoot({ worker: {}, connection, ...poolerOptions(database.url) })];
  return (await bootApplication({ imports, providers }, isLogged ? logger : undefined)).get(WorkflowClient);
};

const keysOf = async (client: WorkflowClient, id: string): Promise<string[]> => (await client.steps(id)).map(({ stepKey }) => stepKey);

describe('the name of an injectable’s steps', () => {
  it('is refused at boot when two provided classes share it, and the error names @StepsOf', async () => {
    const error = await boot([NotifyWorkflow, ...both(Email, Sms)]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/Notifier\.send.*"Notifier\.send".*@StepsOf/);
  });

  it('is the one that @StepsOf gives', async () => {
    const client = await boot([NotifyWorkflow, ...both(Email, NamedSms)]);
    await expect(client.execute(NotifyWorkflow, 'ann', { id: 'named' })).resolves.toEqual(['email to ann', 'sms to ann']);
    expect(await keysOf(client, 'named')).toEqual(['Notifier.send', 'sms.send']);
  });

  it('is refused when @StepsOf gives it to two classes, or @Step({ name }) to two methods', async () => {
    @StepsOf('mail')
    class First {
      @Step()
      async send(): Promise<void> {}
    }
    @StepsOf('mail')
    class Second {
      @Step()
      async send(): Promise<void> {}
    }
    await expect(boot([First, Second])).rejects.toThrow(/First\.send and Second\.send.*"mail\.send"/);
    class Third {
      @Step({ name: 'post' })
      async send(): Promise<void> {}
    }
    class Fourth {
      @Step({ name: 'post' })
      async deliver(): Promise<void> {}
    }
    await expect(boot([Third, Fourth])).rejects.toThrow(/Third\.send and Fourth\.deliver.*"post"/);
  });

  it('may be shared by one class provided in many ways, by its subclasses, and by versions of a workflow', async () => {
    @Injectable()
    class Gateway {
      @Step()
      async charge(): Promise<string> {
        return this.constructor.name;
      }

      @Step({ name: 'gateway.refund' })
      async refund(): Promise<string> {
        return this.constructor.name;
      }
    }
    class Stripe extends Gateway {}
    class Adyen extends Gateway {
      override async refund(): Promise<string> {
        return 'nothing';
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends Gateway {}
    @Injectable({ scope: Scope.REQUEST, durable: true })
    class Durable extends Gateway {}
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient extends Gateway {}
    const version = (number: number): Provider => {
      @Workflow({ name: 'order', version: number })
      class OrderWorkflow {
        async run(): Promise<void> {
          await this.charge();
        }

        @Step()
        async charge(): Promise<void> {}
      }
      return OrderWorkflow;
    };
    @Module({ providers: [Gateway, Stripe], exports: [Gateway] })
    class OtherModule {}
    const connection = { url: await reach(database.url) };
    const imports = [WorkflowModule.forRoot({ worker: {}, connection, ...poolerOptions(database.url) }), OtherModule];
    const ways: Provider[] = [
      { provide: 'CLASS', useClass: Gateway },
      { provide: 'EXISTING', useExisting: Gateway },
      { provide: 'FACTORY', useFactory: () => new Gateway() },
      { provide: 'PER REQUEST', useFactory: () => new Gateway(), scope: Scope.REQUEST },
      { provide: 'VALUE', useValue: new Gateway() },
    ];
    const providers = [Gateway, Stripe, Adyen, PerRequest, Durable, Transient, ...ways, version(1), version(2)];
    await expect(bootApplication({ imports, providers })).resolves.toBeDefined();
  });

  it('fails the run when instances of two classes, made by hand, share it', async () => {
    class Letter {
      @Step()
      async send(): Promise<string> {
        return 'letter';
      }
    }
    const Other = (() => {
      class Letter {
        @Step()
        async send(): Promise<string> {
          return 'another letter';
        }
      }
      return Letter;
    })();
    @Workflow({ name: 'by-hand' })
    class ByHandWorkflow {
      async run(times: number): Promise<string[]> {
        const sent = [await new Letter().send(), await new Letter().send()];
        if (times > 2) sent.push(await new Other().send());
        return sent;
      }
    }
    const client = await boot([ByHandWorkflow]);
    await expect(client.execute(ByHandWorkflow, 2)).resolves.toEqual(['letter', 'letter']);
    await expect(client.execute(ByHandWorkflow, 3)).rejects.toMatchObject({ cause: { code: 'CONFIGURATION' } });
  });

  it('is refused when a minifier made it, and accepted from @StepsOf on the minified class', async () => {
    const [Mail] = minified('class MailService { async send(to) { return `mail to ${to}` } } take(MailService)');
    expect(Mail!.name).toHaveLength(1);
    await expect(boot([Mail!])).rejects.toThrow(/minifier.*keepNames.*@StepsOf/);
    StepsOf('mail')(Mail!);
    await boot([Mail!]);
  });

  it('is refused when mixin() of Nest made it, and accepted from @StepsOf on the mixin', async () => {
    const Mixed = mixin(class extends Email {});
    await expect(boot([Mixed])).rejects.toThrow(/mixin\(\).*@StepsOf/);
    StepsOf('mixed')(Mixed);
    await boot([Mixed]);
  });

  it('is accepted from a minified class that kept its name', async () => {
    const source = `class MailService { static { Object.defineProperty(this, 'name', { value: 'MailService' }) } async send() {} } take(MailService)`;
    const [Mail] = minified(source);
    expect(Mail!.toString()).not.toMatch(/^class MailService/);
    await boot([Mail!]);
  });

  it('causes a warning outside of tests when it only looks minified', async () => {
    class S3 {
      @Step()
      async put(): Promise<void> {}
    }
    class Pay {
      @Step()
      async charge(): Promise<void> {}
    }
    process.env['NODE_ENV'] = 'development';
    try {
      await boot([S3, Pay], true);
      expect(warnings.filter((warning) => warning.includes('minified'))).toEqual([
        expect.stringMatching(/: S3\.put\. .*keepNames.*@StepsOf/),
      ]);
    } finally {
      process.env['NODE_ENV'] = 'test';
    }
  });
});

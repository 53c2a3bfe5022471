import {
  Controller,
  ForbiddenException,
  Get,
  Inject,
  Injectable,
  Module,
  Scope,
  SetMetadata,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type NestInterceptor,
  type Provider,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, NestFactory, Reflector, REQUEST } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { map, type Observable } from 'rxjs';

import {
  currentStep,
  NonRetryableError,
  Step,
  StepFailedError,
  Workflow,
  WorkflowClient,
  WorkflowConfigurationError,
  WorkflowModule,
  type WorkflowContext,
  type WorkflowModuleOptions,
  type WorkflowRequest,
} from '../../../src/index.js';
import { closeApplications, closeLater, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

let log: string[] = [];
let refuse: string | undefined;
/** Milliseconds that a payment sleeps. */
let sleepMs = 20;

const isStep = (context: ExecutionContext): boolean => context.getType<string>() === 'workflow';

@Injectable()
class MethodGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const role = this.reflector.get<string>('role', context.getHandler());
    log.push(
      `guard ${context.getClass().name}.${context.getHandler().name} ${role} ${JSON.stringify(context.getArgs())} ${currentStep().stepKey}`,
    );
    return refuse !== 'guard';
  }
}

@Injectable()
class ClassInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler<string>): Observable<string> {
    log.push('class interceptor');
    return next.handle().pipe(map((value) => `${value}!`));
  }
}

@Injectable()
class GlobalInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (isStep(context)) log.push(`global interceptor, attempt ${currentStep().attempt}`);
    return next.handle();
  }
}

@Injectable()
class HttpGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    log.push(`global guard of ${context.getType<string>()}`);
    return context.getType<string>() === 'http' || isStep(context);
  }
}

@Injectable({ scope: Scope.REQUEST })
class RequestGuard implements CanActivate {
  canActivate(): boolean {
    log.push('request-scoped guard');
    return true;
  }
}

@Injectable()
@UseInterceptors(ClassInterceptor)
class Payments {
  // @Step stands below the other decorators here, and above them on `refund`. Both orders work.
  @SetMetadata('role', 'cashier')
  @UseGuards(MethodGuard)
  @Step({ retry: { maxAttempts: 3, initialInterval: 1 } })
  async charge(amount: number): Promise<string> {
    log.push('body');
    if (refuse === 'body') throw new ForbiddenException('the bank says no');
    return `charged ${amount}`;
  }

  @Step()
  @SetMetadata('role', 'clerk')
  @UseGuards(MethodGuard)
  async refund(amount: number): Promise<string> {
    return `refunded ${amount}`;
  }
}

@Injectable()
class RequestPayments {
  @Step()
  @UseGuards(RequestGuard)
  async charge(): Promise<string> {
    return 'charged';
  }
}

@Workflow({ name: 'pay' })
class PayWorkflow {
  constructor(private readonly payments: Payments) {}

  async run(amount: number, ctx: WorkflowContext): Promise<string> {
    const charged = await this.payments.charge(amount);
    await ctx.sleep(sleepMs);
    return `${charged} ${await this.payments.refund(amount)} ${await ctx.step('inline', () => 'inline')}`;
  }
}

@Workflow({ name: 'pay-in-request' })
class RequestPayWorkflow {
  constructor(private readonly payments: RequestPayments) {}

  async run(): Promise<string> {
    return this.payments.charge();
  }
}

@Controller()
class PaymentsController {
  @Get()
  hello(): string {
    return 'from http';
  }
}

const providers = [
  PayWorkflow,
  RequestPayWorkflow,
  Payments,
  RequestPayments,
  { provide: APP_INTERCEPTOR, useClass: GlobalInterceptor },
  { provide: APP_GUARD, useClass: HttpGuard },
];

@Injectable()
class NoGuard implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}

@Injectable()
class GuardedTill {
  @Step({ retry: { maxAttempts: 1 } })
  @UseGuards(NoGuard)
  async pay(): Promise<string> {
    return 'paid';
  }
}

@Injectable()
class Till {
  @Step()
  async pay(): Promise<string> {
    return 'paid';
  }
}

@Workflow({ name: 'at-the-till' })
class TillWorkflow {
  constructor(@Inject('TILL') private readonly till: Till) {}

  async run(): Promise<string> {
    return this.till.pay();
  }
}

@Workflow({ name: 'by-hand' })
class ByHandWorkflow {
  async run(): Promise<string> {
    return new GuardedTill().pay();
  }
}

@Injectable({ scope: Scope.REQUEST })
class RequestNoGuard implements CanActivate {
  constructor(@Inject(REQUEST) private readonly request: WorkflowRequest) {}

  canActivate(context: ExecutionContext): boolean {
    log.push(`${this.request.workflow} ${context.getHandler().name}`);
    return false;
  }
}

@Workflow({ name: 'plain' })
class PlainWorkflow {
  async run(): Promise<string> {
    return this.pay();
  }

  @Step()
  async pay(): Promise<string> {
    return 'paid';
  }
}

@Workflow({ name: 'scoped', scope: Scope.REQUEST })
class ScopedWorkflow extends PlainWorkflow {}

describe('guards and interceptors around steps', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    log = [];
    refuse = undefined;
    sleepMs = 20;
    await closeApplications();
  });
  afterAll(() => database.drop());

  const start = (options: WorkflowModuleOptions) => startApplication(database.url, providers, { worker: { suspendAfter: 0 }, ...options });

  it('are off unless the option enhancers names them', async () => {
    const { client } = await start({});
    await expect(client.execute(PayWorkflow, 5)).resolves.toBe('charged 5 refunded 5 inline');
    expect(log).toEqual(['body']);
  });

  it('run for the method, the class and the application, once for each attempt, and not on replay', async () => {
    // Longer than a loaded machine takes to suspend the run.
    sleepMs = seconds(1);
    const { client } = await start({ enhancers: ['guards', 'interceptors'] });
    const handle = await client.start(PayWorkflow, 5);
    await expect(handle.result()).resolves.toBe('charged 5! refunded 5! inline');
    expect((await client.describe(handle.runId)).epoch).toBeGreaterThan(1);
    expect(log).toEqual([
      'global guard of workflow',
      'guard Payments.charge cashier [5] Payments.charge',
      'global interceptor, attempt 1',
      'class interceptor',
      'body',
      'global guard of workflow',
      'guard Payments.refund clerk [5] Payments.refund',
      'global interceptor, attempt 1',
      'class interceptor',
    ]);
    const [step] = await client.steps(handle.runId);
    expect(step).toMatchObject({ output: 'charged 5!' });
  });

  it('run only for the kinds that the option enhancers names', async () => {
    const { client } = await start({ enhancers: ['interceptors'] });
    await expect(client.execute(PayWorkflow, 5)).resolves.toBe('charged 5! refunded 5! inline');
    expect(log.filter((line) => line.includes('guard'))).toEqual([]);
  });

  it('are created for the pass when they are request-scoped', async () => {
    const { client } = await start({ enhancers: ['guards'] });
    await expect(client.execute(RequestPayWorkflow)).resolves.toBe('charged');
    expect(log).toEqual(['global guard of workflow', 'request-scoped guard']);
  });

  it('fail the step at once when a guard refuses, and leave a ForbiddenException of the body to retries', async () => {
    const { client } = await start({ enhancers: ['guards'] });
    refuse = 'guard';
    const refused = await client.execute(PayWorkflow, 5).catch((error: unknown) => (error as Error).cause);
    expect(refused).toBeInstanceOf(StepFailedError);
    expect(refused).toMatchObject({ attempts: 1, message: expect.stringContaining('a guard refused step "Payments.charge"') });
    expect(StepFailedError.is(refused, NonRetryableError)).toBe(true);
    expect(log).not.toContain('body');
    refuse = 'body';
    const failed = await client.execute(PayWorkflow, 5).catch((error: unknown) => (error as Error).cause);
    expect(failed).toMatchObject({ attempts: 3 });
    expect(StepFailedError.is(failed, ForbiddenException)).toBe(true);
  });

  it('do not change calls outside of runs and HTTP requests', async () => {
    @Module({
      imports: [WorkflowModule.forRoot({ connection: { url: database.url }, enhancers: ['guards', 'interceptors'] })],
      controllers: [PaymentsController],
      providers,
    })
    class AppModule {}
    const app = closeLater(await NestFactory.create<NestExpressApplication>(AppModule, { logger: false, abortOnError: false }));
    await app.listen(0);
    await expect(app.get(Payments).charge(5)).resolves.toBe('charged 5');
    expect(await (await fetch(await app.getUrl())).text()).toBe('from http');
    expect(log).toEqual(['body', 'global guard of http']);
    await expect(app.get(WorkflowClient).execute(PayWorkflow, 5)).resolves.toBe('charged 5! refunded 5! inline');
  });

  it.each<[string, Provider]>([
    ['a factory', { provide: 'TILL', useFactory: () => new GuardedTill() }],
    ['a value', { provide: 'TILL', useValue: new GuardedTill() }],
  ])('fail the boot when a step of an instance from %s would skip them', async (_, till) => {
    const booting = startApplication(database.url, [TillWorkflow, NoGuard, till], { enhancers: ['guards'] });
    await expect(booting).rejects.toThrow(/@UseGuards\(NoGuard\) on step GuardedTill\.pay would be skipped.*List GuardedTill/);
    await expect(booting).rejects.toBeInstanceOf(WorkflowConfigurationError);
  });

  it('fail the boot when a step of a test override would skip them', async () => {
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, enhancers: ['guards'], worker: {} })];
    const tested = Test.createTestingModule({ imports, providers: [TillWorkflow, Till, { provide: 'TILL', useExisting: Till }, NoGuard] });
    const module = closeLater(await tested.overrideProvider(Till).useClass(GuardedTill).compile());
    module.useLogger(false);
    await expect(module.init()).rejects.toThrow(/@UseGuards\(NoGuard\) on step GuardedTill\.pay/);
  });

  it('fail the step when an instance made by hand would skip them', async () => {
    const { client } = await startApplication(database.url, [ByHandWorkflow], { enhancers: ['guards'] });
    const cause = await client.execute(ByHandWorkflow).catch((error: unknown) => (error as Error).cause);
    expect(cause).toMatchObject({ attempts: 1, message: expect.stringContaining('GuardedTill.pay would be skipped') });
  });

  it.each<[string, Provider[]]>([
    ['a factory whose class is a provider too', [{ provide: 'TILL', useFactory: () => new GuardedTill() }, GuardedTill]],
    ['another token', [{ provide: 'TILL', useClass: GuardedTill }]],
    ['an alias', [GuardedTill, { provide: 'TILL', useExisting: GuardedTill }]],
  ])('are applied to an instance from %s', async (_, till) => {
    const { client } = await startApplication(database.url, [TillWorkflow, ...till], { enhancers: ['guards'] });
    const cause = await client.execute(TillWorkflow).catch((error: unknown) => (error as Error).cause);
    expect(StepFailedError.is(cause, NonRetryableError)).toBe(true);
  });

  it('fail the boot when a global guard is request-scoped and the workflow is a singleton', async () => {
    const guard = { provide: APP_GUARD, useClass: RequestNoGuard, scope: Scope.REQUEST };
    const booting = startApplication(database.url, [PlainWorkflow, guard], { enhancers: ['guards'] });
    await expect(booting).rejects.toThrow(/APP_GUARD RequestNoGuard is request-scoped, and would be skipped.*"plain"/);
    // The option enhancers does not name guards here.
    await closeApplications();
    const { client } = await startApplication(database.url, [PlainWorkflow, guard], { enhancers: ['interceptors'] });
    await expect(client.execute(PlainWorkflow)).resolves.toBe('paid');
  });

  it('fail the boot when a global guard is transient', async () => {
    const providers = [ScopedWorkflow, { provide: APP_GUARD, useClass: NoGuard, scope: Scope.TRANSIENT }];
    const booting = startApplication(database.url, providers, { enhancers: ['guards'] });
    await expect(booting).rejects.toThrow(/APP_GUARD.* cannot be applied to steps/);
  });

  it('are created for the pass when a global guard and the workflow are request-scoped', async () => {
    const guard = { provide: APP_GUARD, useClass: RequestNoGuard, scope: Scope.REQUEST };
    const { client } = await startApplication(database.url, [ScopedWorkflow, guard], { enhancers: ['guards'] });
    const cause = await client.execute(ScopedWorkflow).catch((error: unknown) => (error as Error).cause);
    expect(StepFailedError.is(cause, NonRetryableError)).toBe(true);
    expect(log).toEqual(['scoped pay']);
  });

  it.each<[unknown]>([['guards'], [['filters']], [{}]])('are refused when the option enhancers is %j', async (enhancers) => {
    await expect(start({ enhancers } as never)).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'enhancers' });
  });
});

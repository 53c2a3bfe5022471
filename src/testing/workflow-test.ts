import type { StepDescription } from '../client/queries/describe.js';
import type { WorkflowClient } from '../client/client.js';
import type { WorkflowHandle } from '../client/handle.js';
import { checkOptions } from '../core/check-options.js';
import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { ManualClock } from '../core/manual-clock.js';
import { checkSignal, type SignalArguments, type SignalDefinition } from '../core/signal.js';
import { runtimeScope } from '../host/runtime-scope.js';
import type { SendOptions } from '../client/send-options.js';
import { TestDatabase } from './database/test-database.js';
import { WorkflowTestError } from './errors.js';
import { FakeSteps, type ClassOf, type FakedStep, type StepArguments, type StepFake, type StepName } from './fake-steps.js';
import { refuseFakeTicks } from './real-timers.js';
import { withDataSourcesAt } from './redirect-data-sources.js';
import { TestScope } from './test-scope.js';
import { TestTime } from './test-time.js';

/** Members of Nest's TestingModule, and of an application made from it, that the kit uses. */
export interface TestedApplication {
  init(): Promise<unknown>;
  close(): Promise<void>;
  get<T>(token: ClassOf<T> | string | symbol, options?: { strict?: boolean }): T;
}

/** Members of Nest's TestingModuleBuilder that the kit uses. */
export interface TestedModuleBuilder<M> {
  compile(): Promise<M>;
}

/** Options of `WorkflowTest.create`. */
export interface WorkflowTestOptions<M, A> {
  /**
   * Makes the application that is initialized, for tests that send requests. (default: the module
   * itself)
   *
   * @example application: (module) => module.createNestApplication()
   */
  application?: (module: M) => A | Promise<A>;
  /** Time at which the test's clock stands at first. (default: the current time) */
  startAt?: Date;
  /**
   * Replays each run when its code has ended, and fails a run whose replay differs. (default:
   * `true`)
   */
  verifyReplay?: boolean;
}

/** Handle or id of a run. */
export type TestedRun = WorkflowHandle | string;

/** Steps per query of `stepsOf`. */
const PAGE = 1_000;

/**
 * A Nest application under test, with a database of its own and a clock that stands still until the
 * test moves it. Runs are executed by the same code as in production.
 *
 * @example
 * const test = await WorkflowTest.create(Test.createTestingModule({ imports: [AppModule] }));
 * test.fakeStep(OrderWorkflow, 'charge', async () => 'ch_1');
 * const run = await test.client.start(OrderWorkflow, order);
 * await test.advance('3 days');
 * expect(await run.status()).toBe('completed');
 * await test.close();
 */
export class WorkflowTest<M extends TestedApplication = TestedApplication, A extends TestedApplication = M> {
  private readonly time: TestTime;
  private readonly fakes: FakeSteps;
  private closing: Promise<void> | undefined;

  private constructor(
    /** The compiled module. */
    readonly module: M,
    /** The application: the module, or what the option `application` made of it. */
    readonly app: A,
    /** Client of the module without a name, or of the first module. */
    readonly client: WorkflowClient,
    private readonly database: TestDatabase,
    private readonly scope: TestScope,
  ) {
    this.time = new TestTime(scope.clock, database, scope.runtimes);
    this.fakes = new FakeSteps(module);
  }

  /**
   * Creates the application on a database of its own, and starts its worker. The database is on
   * the server of `DATABASE_URL`, or else on an embedded server that all tests of a project share.
   * Every PostgreSQL DataSource that the application connects while it boots leads to that database
   * too.
   *
   * @param builder result of `Test.createTestingModule(...)`, with all overrides
   * @param options the application to make, the start time and the replay check (default: `{}`)
   * @throws WorkflowConfigurationError when there is no server, or the application cannot boot
   * @throws WorkflowTestError when the application has no WorkflowModule, or fake timers would stop
   *   it
   * @throws InvalidInputError naming an invalid option
   */
  static async create<M extends TestedApplication, A extends TestedApplication = M>(
    builder: TestedModuleBuilder<M>,
    options: WorkflowTestOptions<M, A> = {},
  ): Promise<WorkflowTest<M, A>> {
    const given = checkOptions(options, 'options', ['application', 'startAt', 'verifyReplay']);
    const { application, startAt = new Date(), verifyReplay = true } = given;
    if (typeof verifyReplay !== 'boolean') throw new InvalidInputError('options.verifyReplay', 'must be a boolean');
    checkFunctions(builder, application);
    const clock = new ManualClock(toTimestamp(startAt, 'options.startAt'));
    refuseFakeTicks();
    const database = await TestDatabase.create();
    const scope = new TestScope(database, clock, verifyReplay ? 'verifies' : 'trusts');
    let opened: TestedApplication | undefined;
    try {
      await new TestTime(clock, database, []).moveTo(clock.now());
      const boot = async (): Promise<WorkflowTest<M, A>> => {
        const module = await builder.compile();
        opened = module;
        const app = application ? checkApplication(await application(module)) : (module as TestedApplication as A);
        opened = app;
        await app.init();
        const runtime = scope.runtimes.find(({ name }) => name === undefined) ?? scope.runtimes[0];
        if (!runtime)
          throw new WorkflowTestError('the module under test imports no WorkflowModule: import WorkflowModule.forRoot({ ... })');
        return new WorkflowTest(module, app, runtime.client, database, scope);
      };
      return await runtimeScope.run(scope, () => withDataSourcesAt(database, boot));
    } catch (error) {
      await opened?.close().catch(() => undefined);
      await database.drop().catch(() => undefined);
      throw error;
    }
  }

  /** Current time of the test's clock. */
  now(): Date {
    return new Date(this.scope.clock.now());
  }

  /**
   * Replaces the body of a step, of a workflow or of any other provider. The step keeps its name,
   * key, retries and timeout.
   *
   * @param type class under which the application provides the object
   * @param method name of the method with `@Step`
   * @param fake function with the same arguments and result
   * @returns the arguments of all calls, and a function that undoes the replacement. `close` undoes
   *   it too
   * @throws InvalidInputError when the method is no step, the class no provider, or the fake no
   *   function
   * @throws WorkflowTestError when the test is closed
   * @example
   * const charge = test.fakeStep(PaymentService, 'charge', async () => 'ch_1');
   * expect(charge.calls).toEqual([[order]]);
   */
  fakeStep<T, K extends StepName<T>>(type: ClassOf<T>, method: K, fake: StepFake<T, K>): FakedStep<StepArguments<T, K>> {
    this.checkOpen();
    return this.fakes.replace<StepArguments<T, K>>(type, method, fake);
  }

  /**
   * Moves the clock forward. Sleeps, timeouts, retries, delayed starts, due times of schedules and
   * slots of rate limits come at their own time, the earliest first. Resolves when the application
   * is idle again.
   *
   * @param duration milliseconds, or a duration such as `'3 days'`
   * @throws InvalidInputError when the duration is invalid
   * @throws WorkflowTestError when the application makes no progress for four seconds, is not idle
   *   after a minute, or is closed
   */
  async advance(duration: Duration): Promise<void> {
    this.checkOpen();
    refuseFakeTicks();
    await this.time.advanceBy(toMilliseconds(duration, 'duration'));
  }

  /**
   * Resolves when every run has ended or waits: for a time, a message, or an operator. Does not
   * move the clock.
   *
   * @throws WorkflowTestError when a step body is executed for more than four seconds, or the
   *   application makes no progress for four seconds, is not idle after a minute, or is closed
   */
  async runUntilIdle(): Promise<void> {
    this.checkOpen();
    refuseFakeTicks();
    await this.time.untilIdle();
  }

  /**
   * Sends a signal to a run once the application is idle and the run waits for the signal.
   *
   * @param run handle or id of the run
   * @param signal result of `defineSignal`
   * @param args the payload, and the options of `client.signal`
   * @throws WorkflowTestError when the application is idle and the run does not wait for the signal
   * @throws InvalidInputError, RunNotFoundError
   * @example await test.signalWhenWaiting(run, approved, { by: 'ann' });
   */
  async signalWhenWaiting<P, Sent>(
    run: TestedRun,
    signal: SignalDefinition<P, Sent>,
    ...args: SignalArguments<Sent, SendOptions>
  ): Promise<void> {
    const { name } = checkSignal(signal, 'signal');
    const id = idOf(run);
    await this.runUntilIdle();
    const { status, waitingFor } = await this.client.describe(id);
    if (!waitingFor.some((wait) => wait.kind === 'signal' && wait.name === name)) {
      const waits = waitingFor.map(({ text }) => text).join('; ');
      throw new WorkflowTestError(
        `run "${id}" does not wait for signal "${name}": ${waits === '' ? `the run is ${status}` : `the run is ${status}, and waits: ${waits}`}`,
      );
    }
    await this.client.signal(id, signal, ...args);
  }

  /**
   * Returns the recorded steps of a run, in the order of their results.
   *
   * @param run handle or id of the run
   * @throws InvalidInputError, RunNotFoundError, and WorkflowTestError when the test is closed, or
   *   fake timers would stop the call
   * @example
   * const keys = (await test.stepsOf(run)).map(({ stepKey }) => stepKey);
   */
  async stepsOf(run: TestedRun): Promise<StepDescription[]> {
    this.checkOpen();
    refuseFakeTicks();
    const found: StepDescription[] = [];
    for (;;) {
      const page = await this.client.steps(idOf(run), { limit: PAGE, after: found.at(-1)?.seq ?? 0 });
      found.push(...page);
      if (page.length === 0) return found;
    }
  }

  /**
   * Closes the application, undoes all fakes and drops the database.
   *
   * @throws WorkflowTestError when fake timers would stop the call. Restore the timers, and call
   *   `close` again
   */
  async close(): Promise<void> {
    if (!this.closing) refuseFakeTicks();
    await (this.closing ??= this.closeAll());
  }

  private checkOpen(): void {
    if (this.closing) throw new WorkflowTestError('the test is closed: call close() once, after the last test of the file');
  }

  private async closeAll(): Promise<void> {
    try {
      await this.app.close();
    } finally {
      this.fakes.restoreAll();
      await this.database.drop();
    }
  }
}

function idOf(run: TestedRun): string {
  return checkText(typeof run === 'string' ? run : run?.runId, 'run');
}

function checkFunctions(builder: unknown, application: unknown): void {
  if (typeof (builder as Partial<TestedModuleBuilder<unknown>> | undefined | null)?.compile !== 'function')
    throw new InvalidInputError('builder', 'must be the result of Test.createTestingModule(), before compile()');
  if (application !== undefined && typeof application !== 'function')
    throw new InvalidInputError('options.application', 'must be a function');
}

function checkApplication<A extends TestedApplication>(made: A): A {
  const { init, close } = (made ?? {}) as Partial<TestedApplication>;
  if (typeof init === 'function' && typeof close === 'function') return made;
  throw new InvalidInputError('options.application', 'must return an application of Nest');
}

import { ConsoleLogger, Logger, type LoggerService } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { currentRun, NonRetryableError, Workflow, WorkflowModule, WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { FailureLog } from '../../../src/host/failure-log.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { withoutStalls } from '../../support/log-lines.js';

interface Line {
  readonly level: string;
  readonly message: unknown;
  readonly context: unknown;
}

let seen: unknown[] = [];

@Workflow({ name: 'charging' })
class ChargingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('charge', { retry: { maxAttempts: 2, initialInterval: 10 } }, (): void => {
      seen.push(currentRun());
      throw new Error('the card service is away');
    });
  }
}

@Workflow({ name: 'declined' })
class DeclinedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('charge', (): void => {
      throw new NonRetryableError('no');
    });
  }
}

@Workflow({ name: 'talking', version: 2 })
class TalkingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    seen.push(currentRun());
    ctx.logger.log('begins');
    await ctx.step('first', () => ctx.logger.warn({ amount: 7 }));
    ctx.logger.log('goes to sleep');
    await ctx.sleep(300);
    ctx.logger.error(new Error('woken'));
  }
}

describe('the log', () => {
  let database: TestDatabase;
  let lines: Line[];
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await closeApplications();
    Logger.overrideLogger(false);
    seen = [];
  });
  afterAll(() => database.drop());

  const boot = async (extra: object, options: { logFailures?: boolean } = {}): Promise<WorkflowClient> => {
    lines = [];
    const note =
      (level: string) =>
      (message: unknown, ...rest: unknown[]): void =>
        void lines.push({ level, message, context: rest.at(-1) });
    const logger: LoggerService = { log: note('log'), warn: note('warn'), error: note('error'), ...extra };
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: { suspendAfter: 50 }, ...options })];
    const module = await bootApplication({ imports, providers: [ChargingWorkflow, DeclinedWorkflow, TalkingWorkflow] }, logger);
    return module.get(WorkflowClient);
  };
  const failures = (): Line[] => lines.filter(({ message }) => /failed/.test(String(message)));

  it('has one line of text for each failed attempt, step and run', async () => {
    const client = await boot({});
    await expect(client.execute(ChargingWorkflow, undefined, { id: 'text' })).rejects.toThrow();
    expect(failures().map(({ level, message }) => `${level} ${String(message)}`)).toEqual([
      expect.stringMatching(
        /^warn run "text" \(charging\): step "charge" failed, attempt 1 of 2, next at 2\d{3}-\S+Z: the card service is away \[step-attempt-failed\]$/,
      ),
      'warn run "text" (charging): step "charge" failed for good, attempt 2 of 2: the card service is away [step-failed]',
      expect.stringMatching(/^error run "text" \(charging\) failed with \w+ at step "charge": .* \[run-failed\]$/),
    ]);
  });

  it('has fields for each failure when the logger writes JSON', async () => {
    const client = await boot({ logger: {} });
    await expect(client.execute(ChargingWorkflow, undefined, { id: 'json' })).rejects.toThrow();
    const about = { workflow: 'charging', runId: 'json' };
    expect(failures().map(({ message }) => JSON.parse(JSON.stringify(message)) as unknown)).toMatchObject([
      {
        ...about,
        code: 'step-attempt-failed',
        step: 'charge',
        attempt: 1,
        maxAttempts: 2,
        nextAttemptAt: expect.any(String),
        message: expect.any(String),
      },
      { ...about, code: 'step-failed', step: 'charge', attempt: 2, maxAttempts: 2 },
      { ...about, code: 'run-failed', step: 'charge', errorCode: expect.any(String) },
    ]);
    // Pino takes the text from `msg`.
    expect(Object.keys(failures()[0]!.message as object)).toContain('msg');
  });

  it('has fields for each failure with the JSON logger of Nest', async () => {
    const client = await boot({});
    const written: string[] = [];
    const json = new ConsoleLogger({ json: true });
    const { write } = process.stdout;
    const { write: writeError } = process.stderr;
    const take = (text: unknown): boolean => written.push(String(text)) > 0;
    Logger.overrideLogger(json);
    process.stdout.write = take;
    process.stderr.write = take;
    try {
      await expect(client.execute(DeclinedWorkflow, undefined, { id: 'nest' })).rejects.toThrow();
    } finally {
      process.stdout.write = write;
      process.stderr.write = writeError;
    }
    const records = withoutStalls(written.flatMap((text) => text.split('\n')).filter((text) => text.startsWith('{')));
    expect(records.map((text) => JSON.parse(text) as unknown)).toMatchObject([
      { level: 'warn', context: 'WorkflowModule', message: { runId: 'nest', workflow: 'declined', step: 'charge', attempt: 1 } },
      { level: 'error', context: 'WorkflowModule', message: { runId: 'nest', workflow: 'declined' } },
    ]);
  });

  it('has no failures with logFailures: false', async () => {
    const client = await boot({}, { logFailures: false });
    await expect(client.execute(ChargingWorkflow)).rejects.toThrow();
    expect(failures()).toEqual([]);
  });

  it('has each line of run() once, with its run, although a replay executes run() again', async () => {
    const client = await boot({});
    await client.execute(TalkingWorkflow, undefined, { id: 'talk' });
    // The function was executed twice, because it slept for longer than suspendAfter.
    expect(seen.length).toBeGreaterThanOrEqual(2);
    const own = lines.filter(({ context }) => context === 'talking talk');
    expect(own.map(({ level, message }) => [level, message instanceof Error ? message.message : String(message)])).toEqual([
      ['log', 'begins'],
      ['warn', '[object Object]'],
      ['log', 'goes to sleep'],
      ['error', expect.stringContaining('woken')],
    ]);
  });

  it('has the run in JSON lines of run(), and currentRun() gives the run and the step', async () => {
    const client = await boot({ logger: {} });
    expect(currentRun()).toBeUndefined();
    await client.execute(TalkingWorkflow, undefined, { id: 'current' });
    expect(seen[0]).toEqual({ runId: 'current', workflow: 'talking', version: 2, stepKey: undefined, attempt: undefined });
    expect(lines.filter(({ context }) => context === 'talking').map(({ message }) => message)).toMatchObject([
      { runId: 'current', workflow: 'talking', message: 'begins' },
      { runId: 'current', workflow: 'talking', amount: 7 },
      { runId: 'current', workflow: 'talking', message: 'goes to sleep' },
      { runId: 'current', workflow: 'talking', message: 'woken' },
    ]);
    seen = [];
    await expect(client.execute(ChargingWorkflow, undefined, { id: 'in-step' })).rejects.toThrow();
    expect(seen).toMatchObject([
      { runId: 'in-step', workflow: 'charging', stepKey: 'charge', attempt: 1 },
      { stepKey: 'charge', attempt: 2 },
    ]);
  });

  it('has a bounded number of failures, and omits the messages of errors that the application encrypts', () => {
    const texts: string[] = [];
    const log = new FailureLog((_, text) => texts.push(text), 'codes');
    const failure = { stepKey: 'charge', attempt: 1, maxAttempts: 1, nextAttemptAt: undefined, error: new Error('secret') };
    for (let index = 0; index < 1_000; index++) log.attemptFailed({ id: 'r', name: 'w' }, failure);
    expect(texts).toHaveLength(100);
    expect(texts[0]).toBe('run "r" (w): step "charge" failed for good, attempt 1 of 1: Error');
  });
});

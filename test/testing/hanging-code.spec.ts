import { setTimeout as sleep } from 'node:timers/promises';

import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Step, Workflow, WorkflowModule, type WorkflowContext } from '../../src/index.js';
import { runInMemory, WorkflowTest } from '../../src/testing/index.js';

@Injectable()
class Mailer {
  @Step({ timeout: '10 minutes', retry: { maxAttempts: 1 } })
  async send(_to: string): Promise<string> {
    return new Promise<string>(() => {});
  }
}

@Workflow({ name: 'mailing' })
class Mailing {
  constructor(private readonly mailer: Mailer) {}

  async run(to: string): Promise<string> {
    return this.mailer.send(to);
  }
}

@Workflow({ name: 'waits-outside' })
class WaitsOutside {
  async run(_input: void, _ctx: WorkflowContext): Promise<void> {
    await new Promise(() => {});
  }
}

/** Stops the whole process, as a suspended machine does. */
function stop(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

@Workflow({ name: 'short-work' })
class ShortWork {
  async run(): Promise<string> {
    return this.work();
  }

  @Step({ timeout: '10 minutes', retry: { maxAttempts: 1 } })
  async work(): Promise<string> {
    // The kit sees the body before the process stops, and has time to see it again afterwards.
    await sleep(50);
    stop(1_500);
    await sleep(50);
    return 'worked';
  }
}

@Module({ imports: [WorkflowModule.forRoot({ worker: { concurrency: 1 } })], providers: [Mailer, Mailing, WaitsOutside, ShortWork] })
class AppModule {}

const builder = (): ReturnType<typeof Test.createTestingModule> => Test.createTestingModule({ imports: [AppModule] });

describe('an application with one run at a time', () => {
  let test: WorkflowTest;

  beforeAll(async () => {
    process.env['DATABASE_URL'] = process.env['DURABLE_TEST_SERVER_URL'];
    test = await WorkflowTest.create(builder());
  });
  afterAll(() => test.close());

  it('lets a timeout pass while another run waits for its turn', async () => {
    const [first, second] = [await test.client.start(Mailing, 'ann'), await test.client.start(Mailing, 'bob')];
    await test.advance('10 minutes');
    expect([await first.status(), await second.status()].sort()).toEqual(['failed', 'running']);
    await test.advance('10 minutes');
    expect([await first.status(), await second.status()]).toEqual(['failed', 'failed']);
  });

  it('restores the body of a step, in whatever order two fakes of the step are undone', async () => {
    const [first, second] = [test.fakeStep(Mailer, 'send', () => 'first'), test.fakeStep(Mailer, 'send', () => 'second')];
    first.restore();
    expect(await test.client.execute(Mailing, 'ann')).toBe('second');
    second.restore();
    const run = await test.client.start(Mailing, 'ann');
    await test.advance('10 minutes');
    expect(await run.status()).toBe('failed');
  });

  it('lets no time pass for a body that had no time to work, because the process stood still', async () => {
    const run = await test.client.start(ShortWork);
    await test.advance('1 hour');
    expect(await run.result()).toBe('worked');
    expect(await runInMemory(ShortWork)).toMatchObject({ status: 'completed', output: 'worked' });
  });

  it('rejects when a run awaits something outside of steps that never happens', async () => {
    const other = await WorkflowTest.create(builder());
    try {
      const run = await other.client.start(WaitsOutside);
      const text = `run "${run.runId}" (waits-outside) awaits something outside of steps`;
      await expect(other.runUntilIdle()).rejects.toThrow(text);
    } finally {
      await other.close();
    }
    await expect(runInMemory(WaitsOutside)).rejects.toThrow('(waits-outside) awaits something outside of steps');
  });
});

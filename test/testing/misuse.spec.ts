import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, InvalidInputError, Step, Workflow, WorkflowModule } from '../../src/index.js';
import { replayHistory, runInMemory, sent, WorkflowTest } from '../../src/testing/index.js';

const approved = defineSignal<{ by: string }>('approved');

@Injectable()
class Mailer {
  @Step()
  async send(to: string): Promise<string> {
    return to;
  }
}

@Workflow({ name: 'mailing' })
class Mailing {
  constructor(private readonly mailer: Mailer) {}

  async run(to: string): Promise<string> {
    return this.mailer.send(to);
  }

  @Step()
  async note(): Promise<void> {}
}

@Module({ imports: [WorkflowModule.forRoot({})], providers: [Mailer, Mailing] })
class AppModule {}

const RUN = { id: 'mailing-1', input: '"ann"', startedAt: 0, deadlineAt: null, generation: 0, seedId: 'mailing-1' };
const HISTORY = {
  format: 'nestjs-durable/history',
  formatVersion: 1,
  workflow: { name: 'mailing', version: 1, queue: 'default' },
  run: RUN,
  outcome: null,
  history: { steps: [], waits: [] },
};

const builder = (): ReturnType<typeof Test.createTestingModule> => Test.createTestingModule({ imports: [AppModule] });

describe('the test kit', () => {
  let test: WorkflowTest;

  beforeAll(async () => {
    process.env['DATABASE_URL'] = process.env['DURABLE_TEST_SERVER_URL'];
    test = await WorkflowTest.create(builder());
  });
  afterAll(() => test.close());

  it('rejects every call after close', async () => {
    const other = await WorkflowTest.create(builder());
    await other.close();
    const calls = [
      () => other.advance('1 day'),
      () => other.runUntilIdle(),
      () => other.stepsOf('run'),
      () => other.signalWhenWaiting('run', approved, { by: 'ann' }),
      async () => other.fakeStep(Mailer, 'send', () => 'sent'),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow(/the test is closed/);
  });

  it.each([
    ['type', () => test.fakeStep(undefined as never, 'send' as never, () => 'x')],
    ['type', () => test.fakeStep((() => 1) as never, 'send' as never, () => 'x')],
    ['fake', () => test.fakeStep(Mailer, 'send', undefined as never)],
    ['builder', () => WorkflowTest.create({} as never)],
    ['options.application', () => WorkflowTest.create(builder(), { application: 5 as never })],
    ['options.application', () => WorkflowTest.create(builder(), { application: (() => undefined) as never })],
    ['options.steps', () => runInMemory(Mailing, 'ann', { steps: null as never })],
    ['options.steps.note', () => runInMemory(Mailing, 'ann', { providers: [Mailer], steps: { note: 5 as never } })],
    ['options.steps.run', () => runInMemory(Mailing, 'ann', { providers: [Mailer], steps: { run: () => 'x' } })],
    ['options.signals', () => runInMemory(Mailing, 'ann', { signals: 5 as never })],
    ['options.signals[0]', () => runInMemory(Mailing, 'ann', { providers: [Mailer], signals: [null as never] })],
    ['options.providers', () => runInMemory(Mailing, 'ann', { providers: 5 as never })],
    ['options.providers[0]', () => runInMemory(Mailing, 'ann', { providers: [undefined as never] })],
    ['options', async () => sent(approved, { by: 'ann' }, null as never)],
    ['options.providers', () => replayHistory(Mailing, HISTORY as never, { providers: 5 as never })],
    ['options.codec', () => replayHistory(Mailing, HISTORY as never, { codec: {} as never })],
  ])('names an invalid %s in the error (case %#)', async (argument, call) => {
    const refused = await (async (): Promise<unknown> => call())().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(InvalidInputError);
    expect((refused as Error).message).toMatch(new RegExp(`^${argument.replaceAll(/[.[\]]/g, '\\$&')} `));
  });

  it.each<[part: string, damage: object]>([
    ['run', { run: {} }],
    ['workflow', { workflow: { name: 'mailing' } }],
    ['outcome', { outcome: undefined }],
    ['outcome', { outcome: { status: 'failed', error: '{}' } }],
    ['history.steps', { history: { steps: [null], waits: [] } }],
    ['history.waits', { history: { steps: [], waits: [{}] } }],
    ['run.input', { run: { ...RUN, input: '{{' } }],
    ['outcome.output', { outcome: { status: 'completed', output: '{{' } }],
  ])('refuses a history with a damaged %s (case %#)', async (part, damage) => {
    const refused = replayHistory(Mailing, { ...HISTORY, ...damage } as never, { providers: [Mailer] });
    await expect(refused).rejects.toThrow(InvalidInputError);
    await expect(refused).rejects.toThrow(part);
  });
});

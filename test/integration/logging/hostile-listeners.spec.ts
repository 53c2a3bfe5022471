import { Injectable, type LoggerService } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { OnRunEvent, Workflow, WorkflowClient, WorkflowModule, type PayloadCodec, type RunEventOf } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'quick' })
class Quick {
  async run(): Promise<void> {}
}

/** More runs than a process calls one listener for at a time. */
const RUNS = 25;

let thrown: () => unknown;
let calls: string[] = [];

@Injectable()
class Ledger {
  @OnRunEvent('run.completed')
  async refuse({ runId }: RunEventOf<'run.completed'>): Promise<void> {
    calls.push(runId);
    throw thrown();
  }
}

const unreadableMessage = (): unknown =>
  Object.defineProperty(new Error('x'), 'message', {
    get() {
      throw new Error('no message');
    },
  });
const unreadableName = (): unknown =>
  Object.defineProperty(new Error('x'), 'name', {
    get() {
      throw new Error('no name');
    },
  });
const revoked = (): unknown => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const plain = (): unknown => new Error('the ledger is closed');
const codec: PayloadCodec = { encode: (bytes) => bytes, decode: (bytes) => bytes };

describe('a listener whose failure cannot be logged', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await closeApplications();
    calls = [];
    await database.query('TRUNCATE durable.workflow_run_events');
  });
  afterAll(() => database.drop());

  it.each([
    ['an error whose message cannot be read', unreadableMessage, undefined, 'writes' as const],
    ['an error whose name cannot be read, with a codec', unreadableName, codec, 'writes' as const],
    ['a revoked proxy', revoked, undefined, 'writes' as const],
    ['an error, and the logger throws too', plain, undefined, 'throws' as const],
  ])('is called again and then dropped when it throws %s', async (_what, thrower, payloadCodec, logging) => {
    thrown = thrower;
    const lines: string[] = [];
    const warn = (message: unknown): void => {
      if (!String(message).includes('listeners:')) return;
      lines.push(String(message));
      if (logging === 'throws') throw new Error('the disk is full');
    };
    const logger: LoggerService = { log: () => undefined, error: () => undefined, warn };
    const options = payloadCodec ? { payloads: { codec: payloadCodec } } : {};
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {}, ...options })];
    const client = (await bootApplication({ imports, providers: [Quick, Ledger] }, logger)).get(WorkflowClient);
    const handles = await Promise.all(Array.from({ length: RUNS }, () => client.start(Quick)));
    await waitFor(() => new Set(calls).size === RUNS, { message: () => `${new Set(calls).size} runs heard` });
    // The process's time for the events is longer than the test waits. So they are available again
    // only if the first call has ended properly.
    await waitFor(() => handles.every(({ runId }) => calls.filter((each) => each === runId).length > 1));
    await waitFor(async () => {
      await database.query(
        `UPDATE durable.workflow_run_events SET available_at = now(), attempts = 4 WHERE available_at < now() + interval '40 seconds'`,
      );
      return (await database.query('SELECT 1 FROM durable.workflow_run_events')).length === 0;
    });
    expect(lines.length).toBeGreaterThan(0);
    if (logging === 'writes')
      expect(lines[0]).toContain('listeners: Ledger.refuse failed on run.completed: the thrown value cannot be read');
  });
});

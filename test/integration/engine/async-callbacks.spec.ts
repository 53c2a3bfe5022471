import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';

import { serializer, Step, Workflow, type PayloadCodec, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

const isAway = async (): Promise<never> => {
  throw new Error('away');
};

@Workflow({ name: 'echo' })
class EchoWorkflow {
  async run(input: unknown): Promise<unknown> {
    return input;
  }
}

@Workflow({ name: 'keyed' })
class KeyedWorkflow {
  async run(): Promise<void> {
    await this.work();
  }

  @Step({ key: isAway as never })
  async work(): Promise<void> {}
}

let isRetried: unknown = isAway;
let attempts = 0;

@Workflow({ name: 'retried' })
class RetriedWorkflow {
  async run(_input: unknown, ctx: WorkflowContext): Promise<void> {
    const retry = { maxAttempts: 3, initialInterval: 1, retryIf: () => (isRetried as () => boolean)() };
    await ctx.step('work', { retry }, async () => {
      attempts++;
      throw new Error('the body failed');
    });
  }
}

class Stored {
  readonly kind = 'stored';
}
class Revived {
  readonly kind = 'revived';
}
serializer.register(Stored, { name: 'async-callbacks.Stored', serialize: isAway, deserialize: () => new Stored() });
serializer.register(Revived, { name: 'async-callbacks.Revived', serialize: () => 1, deserialize: isAway as never });

describe('a promise from a callback that must be synchronous', () => {
  let database: TestDatabase;
  const unheard: unknown[] = [];
  const hear = (reason: unknown): void => void unheard.push(reason);
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  beforeEach(() => void process.on('unhandledRejection', hear));
  afterEach(async () => {
    // Node reports an unhandled rejection at the end of the turn in which the rejection occurred.
    await turn();
    await turn();
    process.off('unhandledRejection', hear);
    expect(unheard.splice(0)).toEqual([]);
    await closeApplications();
  });
  afterAll(() => database.drop());

  const app = (codec?: PayloadCodec) =>
    startApplication(database.url, [EchoWorkflow, KeyedWorkflow, RetriedWorkflow], codec ? { payloads: { codec } } : {});

  it('is refused from encode of the payload codec', async () => {
    const { client } = await app({ encode: isAway as never, decode: (stored) => stored });
    await expect(client.start(EchoWorkflow, 1)).rejects.toMatchObject({
      code: 'SERIALIZATION',
      message: expect.stringMatching(/encode.*promise.*synchronous/),
    });
  });

  it('is refused from decode of the payload codec', async () => {
    const { client } = await app();
    const { runId } = await client.start(EchoWorkflow, 1, { delay: '1h' });
    await database.query(`UPDATE durable.workflow_runs SET status = 'completed', finished_at = now(), output = $2 WHERE id = $1`, [
      runId,
      '{"$durable":"encoded","value":"MQ=="}',
    ]);
    await closeApplications();
    const { client: coded } = await app({ encode: () => undefined, decode: isAway as never });
    await expect(coded.getHandle(runId).result({ timeout: seconds(30) })).rejects.toMatchObject({
      code: 'PAYLOAD_UNREADABLE',
      message: expect.stringMatching(/decode.*promise.*synchronous/),
    });
  });

  it('is refused from serialize of a registered class, and from toJSON', async () => {
    const { client } = await app();
    await expect(client.start(EchoWorkflow, { a: new Stored() })).rejects.toMatchObject({
      code: 'SERIALIZATION',
      message: expect.stringMatching(/input\.a\.serialize.*synchronously.*promise/),
    });
    await expect(client.start(EchoWorkflow, { a: { toJSON: isAway } })).rejects.toMatchObject({
      code: 'SERIALIZATION',
      message: expect.stringMatching(/input\.a\.toJSON.*promise/),
    });
  });

  it('is refused from deserialize of a registered class', async () => {
    const { client } = await app();
    const { runId } = await client.start(EchoWorkflow, 1, { delay: '1h' });
    await database.query(`UPDATE durable.workflow_runs SET status = 'completed', finished_at = now(), output = $2 WHERE id = $1`, [
      runId,
      '{"$durable":"type","name":"async-callbacks.Revived","value":1}',
    ]);
    await expect(client.getHandle(runId).result({ timeout: seconds(30) })).rejects.toMatchObject({
      code: 'PAYLOAD_UNREADABLE',
      message: expect.stringMatching(/deserialize.*promise.*synchronous/),
    });
  });

  it('is refused from the function that gives the options of startMany', async () => {
    const { client } = await app();
    await expect(client.startMany(EchoWorkflow, [1, 2], isAway as never)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'options',
      message: expect.stringContaining('promise'),
    });
  });

  it('is refused from the key function of a step', async () => {
    const { client } = await app();
    await expect(client.execute(KeyedWorkflow)).rejects.toMatchObject({
      cause: { code: 'INVALID_INPUT', message: expect.stringMatching(/key of step "work".*promise/) },
    });
  });

  it.each([
    ['rejects', isAway],
    ['resolves', async () => true],
    // oxlint-disable-next-line unicorn/no-thenable -- libraries with promises of their own return such objects
    ['is not native', () => ({ then: (_: unknown, reject: (reason: unknown) => void) => reject(new Error('away')) })],
  ])('is refused from retryIf when the promise %s: the step fails at once and keeps its own error', async (_, retryIf) => {
    isRetried = retryIf;
    attempts = 0;
    const { client } = await app();
    await expect(client.execute(RetriedWorkflow)).rejects.toMatchObject({
      cause: {
        code: 'STEP_FAILED',
        cause: { code: 'INVALID_INPUT', argument: 'retry.retryIf', cause: { message: 'the body failed' } },
      },
    });
    expect(attempts).toBe(1);
  });
});

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { Inject, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { EncryptedPayloads } from '../../../sample/06-encrypted-payloads/payload-codec.js';
import {
  PayloadTooLargeError,
  PayloadUnreadableError,
  SerializationError,
  Step,
  StepFailedError,
  Workflow,
  WorkflowFailedError,
  type PayloadCodec,
  type PayloadInfo,
  type WorkflowContext,
  type WorkflowRequest,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

/** A secret that neither the database nor a log may contain. */
const SECRET = 'secret-4711';

interface Letter {
  text: string;
  fails?: 'once' | 'always';
  sleepMs?: number;
}

const passes = new Map<string, number>();

@Workflow({ name: 'letter', retry: { maxAttempts: 2, initialInterval: 1 } })
class LetterWorkflow {
  async run(letter: Letter, ctx: WorkflowContext): Promise<{ said: string; at: Date }> {
    passes.set(ctx.runId, (passes.get(ctx.runId) ?? 0) + 1);
    const said = await this.read(letter);
    if (letter.sleepMs) await ctx.sleep(letter.sleepMs);
    return { said, at: ctx.now() };
  }

  private readonly tried = new Set<string>();

  @Step()
  async read(letter: Letter): Promise<string> {
    if (letter.fails === 'always' || (letter.fails === 'once' && !this.tried.has(letter.text))) {
      this.tried.add(letter.text);
      throw Object.assign(new RangeError(`cannot read ${letter.text}`), { letter });
    }
    return `it says ${letter.text}`;
  }
}

@Workflow({ name: 'scoped-letter', scope: Scope.REQUEST })
class ScopedWorkflow {
  constructor(@Inject(REQUEST) private readonly request: WorkflowRequest) {}

  async run(letter: Letter): Promise<string[]> {
    return [letter.text, (this.request.input as Letter).text];
  }
}

const oldKey = randomBytes(32);
const newKey = randomBytes(32);
const before = new EncryptedPayloads(new Map([['old', oldKey]]), 'old');
const after = new EncryptedPayloads(
  new Map([
    ['old', oldKey],
    ['new', newKey],
  ]),
  'new',
);
const wrong = new EncryptedPayloads(new Map([['old', randomBytes(32)]]), 'old');

describe('a payload codec', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async (codec: PayloadCodec | undefined, deploymentId = 'one', worker: object | false = { suspendAfter: 5 }) => {
    const logged: string[] = [];
    const log = (...what: unknown[]): void => void logged.push(what.map(String).join(' '));
    const application = await startApplication(database.url, [LetterWorkflow], {
      worker,
      deploymentId,
      defaults: { maxPayloadBytes: 4_096 },
      ...(codec && { payloads: { codec } }),
    });
    application.module.useLogger({ log, warn: log, error: log });
    return { ...application, logged };
  };

  /** Every row of every table, as text. */
  const stored = async (): Promise<string> => {
    const tables = ['runs', 'steps', 'run_log', 'waits', 'inbox', 'tags'];
    const rows = await Promise.all(
      tables.map((table) => database.query(`SELECT to_json(t)::text AS row FROM durable.workflow_${table} t`)),
    );
    return rows
      .flat()
      .map(({ row }) => row as string)
      .join('\n');
  };

  it('keeps the text of inputs, outputs and errors out of the database, and clients with the key read it', async () => {
    const { client } = await boot(before);
    const fine = await client.start(LetterWorkflow, { text: SECRET, fails: 'once', sleepMs: seconds(1.2) });
    const failing = await client.start(LetterWorkflow, { text: SECRET, fails: 'always' });
    const waiting = await client.start(LetterWorkflow, { text: SECRET }, { delay: '1h' });
    await waiting.cancel({ reason: 'no longer wanted' });
    await expect(fine.result()).resolves.toMatchObject({ said: `it says ${SECRET}`, at: expect.any(Date) });
    const error = (await failing.result().catch((thrown: unknown) => thrown)) as WorkflowFailedError;
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error.cause).toBeInstanceOf(StepFailedError);
    expect((error.cause as Error).cause).toMatchObject({ name: 'RangeError', message: `cannot read ${SECRET}`, letter: { text: SECRET } });
    await expect(waiting.result()).rejects.toThrow('no longer wanted');
    // The run was suspended and replayed.
    expect(passes.get(fine.runId)).toBeGreaterThan(1);

    const description = await fine.describe();
    expect(description.input).toMatchObject({ text: SECRET });
    expect(description.output).toMatchObject({ said: `it says ${SECRET}` });
    expect((await fine.steps())[0]!.output).toBe(`it says ${SECRET}`);
    expect((await failing.describe()).error!.message).toContain(SECRET);

    const all = await stored();
    expect(all).toContain('attempt_failed');
    expect(all).not.toContain(SECRET);
    expect(all).not.toContain(Buffer.from(SECRET).toString('base64').slice(0, 12));
  });

  it('leaves error codes, step names and tags readable, so that listings find a failed run by them', async () => {
    const { client } = await boot(before);
    const failing = await client.start(LetterWorkflow, { text: SECRET, fails: 'always' }, { tags: { letter: 'lost' } });
    await failing.result().catch(() => undefined);
    const { runs } = await client.list({ errorCode: 'RangeError', failedStep: 'read', tags: { letter: 'lost' } });
    expect(runs.map(({ runId }) => runId)).toEqual([failing.runId]);
    expect(await stored()).not.toContain(SECRET);
  });

  it('decodes the input in the request of a request-scoped workflow', async () => {
    const { client } = await startApplication(database.url, [ScopedWorkflow], { worker: {}, payloads: { codec: before } });
    const handle = await client.start(ScopedWorkflow, { text: SECRET });
    await expect(handle.result()).resolves.toEqual([SECRET, SECRET]);
    expect(await stored()).not.toContain(SECRET);
  });

  it('reads payloads that were stored without a codec, and payloads that an older key encrypted', async () => {
    const plain = await (await boot(undefined)).client.start(LetterWorkflow, { text: 'plain' });
    await plain.result();
    await closeApplications();
    const encrypted = await (await boot(before)).client.start(LetterWorkflow, { text: SECRET });
    await encrypted.result();
    await closeApplications();
    const { client } = await boot(after);
    await expect(client.getHandle(plain.runId).result()).resolves.toMatchObject({ said: 'it says plain' });
    await expect(client.getHandle(encrypted.runId).result()).resolves.toMatchObject({ said: `it says ${SECRET}` });
  });

  it.each([
    ['another key', wrong],
    ['no codec at all', undefined],
  ])('runs that a deployment with %s cannot decode wait for a deployment that can', async (what, codec) => {
    const id = `waits for the key, ${what}`;
    const starter = await boot(before, 'one', false);
    await starter.client.start(LetterWorkflow, { text: SECRET }, { id });
    const done = await database.query<{ id: string }>(
      `SELECT id FROM durable.workflow_runs WHERE status = 'completed' AND input::text LIKE '%encoded%'`,
    );
    await starter.close();

    const blind = await boot(codec, 'blind');
    await waitFor(
      async () =>
        (await database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = $1 AND 'blind' = ANY (blocked_deployments)`, [id])).length >
        0,
    );
    expect(await blind.client.status(id)).toBe('waiting');
    const error = (await blind.client
      .getHandle(done[0]!.id)
      .result()
      .catch((thrown: unknown) => thrown)) as Error;
    expect(error).toBeInstanceOf(PayloadUnreadableError);
    expect(error).toMatchObject({ code: 'PAYLOAD_UNREADABLE', subject: 'output' });
    await expect(blind.client.describe(id)).rejects.toBeInstanceOf(PayloadUnreadableError);
    // The log names the run, and the history gives the reason.
    expect(blind.logged.join('\n')).toContain(id);
    expect(blind.logged.join('\n')).not.toContain(SECRET);
    const [event] = await database.query(
      `SELECT data->>'message' AS message FROM durable.workflow_run_log WHERE run_id = $1 AND kind = 'blocked'`,
      [id],
    );
    expect(event.message).toContain('input cannot be read');
    await blind.close();

    const { client } = await boot(after, 'seeing');
    await expect(client.getHandle(id).result({ timeout: seconds(45) })).resolves.toMatchObject({ said: `it says ${SECRET}` });
  });

  it('with a wrong key blocks a suspended run, and a deployment with the right key completes the run', async () => {
    const first = await boot(before, 'one');
    const handle = await first.client.start(LetterWorkflow, { text: SECRET, sleepMs: seconds(2) });
    await waitFor(async () => (await handle.steps()).length === 1 && (await handle.status()) === 'waiting');
    await first.close();
    const blind = await boot(wrong, 'blind');
    await waitFor(
      async () =>
        (await database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = $1 AND 'blind' = ANY (blocked_deployments)`, [handle.runId]))
          .length > 0,
    );
    await blind.close();
    const { client } = await boot(before, 'seeing');
    await expect(client.getHandle(handle.runId).result({ timeout: seconds(45) })).resolves.toMatchObject({ said: `it says ${SECRET}` });
  });

  it('refuses a start when it cannot encode the input, and writes nothing', async () => {
    const counted = await database.query(`SELECT count(*) FROM durable.workflow_runs`);
    const broken: PayloadCodec[] = [
      {
        encode: () => {
          throw new Error(`cannot encrypt ${SECRET}`);
        },
        decode: (bytes) => bytes,
      },
      { encode: (async (bytes: Uint8Array) => bytes) as never, decode: (bytes) => bytes },
      { encode: () => 'text' as never, decode: (bytes) => bytes },
    ];
    for (const codec of broken) {
      const { client, close } = await boot(codec);
      const error = (await client.start(LetterWorkflow, { text: SECRET }).catch((thrown: unknown) => thrown)) as Error;
      expect(error).toBeInstanceOf(SerializationError);
      expect(error.message).not.toContain(SECRET);
      await close();
    }
    expect(await database.query(`SELECT count(*) FROM durable.workflow_runs`)).toEqual(counted);
  });

  it('fails a step whose output and error it cannot encode, and stores no plain text for the step', async () => {
    const infos: PayloadInfo[] = [];
    const codec: PayloadCodec = {
      encode: (bytes, info) => {
        infos.push(info);
        if (info.kind !== 'input') throw new Error(`cannot encrypt ${Buffer.from(bytes).toString()}`);
        return before.encode(bytes);
      },
      decode: (bytes) => before.decode(bytes),
    };
    const { client, logged } = await boot(codec);
    const handle = await client.start(LetterWorkflow, { text: SECRET });
    const error = (await handle.result().catch((thrown: unknown) => thrown)) as WorkflowFailedError;
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(error.cause).toBeInstanceOf(StepFailedError);
    expect(await stored()).not.toContain(SECRET);
    expect(logged.join('\n')).not.toContain(SECRET);
    expect(new Set(infos.map(({ kind }) => kind))).toEqual(new Set(['input', 'output', 'error']));
    expect(new Set(infos.map(({ runId }) => runId))).toEqual(new Set([handle.runId]));
  });

  it('leaves a payload plain when encode returns undefined, and maxPayloadBytes counts the plain bytes', async () => {
    const compressing = new EncryptedPayloads(new Map([['a', oldKey]]), 'a');
    const codec: PayloadCodec = {
      encode: (bytes) => (bytes.length < 1_024 ? undefined : compressing.encode(bytes)),
      decode: (bytes) => compressing.decode(bytes),
    };
    const { client } = await boot(codec);
    const small = await client.start(LetterWorkflow, { text: 'small' });
    const large = await client.start(LetterWorkflow, { text: 'x'.repeat(3_900) });
    const rows = await database.query<{ text: string | null; bytes: number }>(
      `SELECT input->>'text' AS text, octet_length(input::text) AS bytes FROM durable.workflow_runs WHERE id = ANY ($1) ORDER BY created_at`,
      [[small.runId, large.runId]],
    );
    expect(rows[0]!.text).toBe('small');
    expect(rows[1]!.text).toBeNull();
    expect(rows[1]!.bytes).toBeLessThan(300);
    await expect(large.result()).resolves.toMatchObject({ said: `it says ${'x'.repeat(3_900)}` });
    await expect(client.start(LetterWorkflow, { text: 'x'.repeat(4_100) })).rejects.toBeInstanceOf(PayloadTooLargeError);
  });
});

it('docs/payloads.md shows the codec of the sample, which these tests use', () => {
  const sample = readFileSync(resolve('sample/06-encrypted-payloads/payload-codec.ts'), 'utf8');
  expect(readFileSync(resolve('docs/payloads.md'), 'utf8')).toContain(`\`\`\`ts\n${sample}\`\`\``);
});

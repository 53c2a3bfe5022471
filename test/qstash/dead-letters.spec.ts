import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';

import { Workflow, WorkflowConfigurationError } from '../../src/index.js';
import { closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';

@Workflow({ name: 'brief' })
class Brief {
  async run(n: number): Promise<number> {
    return n * 2;
  }
}

describe('dead letters of QStash', () => {
  let database: TestDatabase;
  let pushed: PushedApplication;
  let isBroken = false;
  beforeAll(async () => {
    database = await createTestDatabase();
    const configure = (app: INestApplication): void => {
      app.use((_request: unknown, response: { writeHead(status: number): { end(): void } }, next: () => void) => {
        if (isBroken) response.writeHead(500).end();
        else next();
      });
    };
    pushed = await startPushed(database.url, [Brief], { configure });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  /** Publishes a message without retries. */
  const publish = async (body: object): Promise<void> => {
    const { url, token } = pushed.qstash;
    const headers = { authorization: `Bearer ${token}`, 'upstash-retries': '0', 'content-type': 'application/json' };
    const response = await fetch(`${url}/v2/publish/${pushed.targetUrl}/workflow/qstash`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    expect(response.ok).toBe(true);
  };
  const letters = async (count: number) =>
    waitFor(async () => {
      const { deadLetters } = await pushed.client.deadLetters.list();
      return deadLetters.length === count ? deadLetters : undefined;
    });

  it('are listed, delivered again by redrive, and deleted when their runs need no message', async () => {
    const ended = await pushed.client.start(Brief, 1);
    await ended.result();
    isBroken = true;
    const waiting = await pushed.client.start(Brief, 2);
    for (const { runId } of [ended, waiting]) await publish({ v: 1, run: runId, queue: 'default', seq: '0.0' });
    await publish({ v: 99 });
    const found = await letters(3);
    expect(found).toContainEqual({
      id: expect.any(String),
      runId: waiting.runId,
      queue: 'default',
      responseStatus: 500,
      createdAt: expect.any(Date),
    });
    expect(found.find(({ runId }) => runId === null)).toMatchObject({ queue: null });
    isBroken = false;
    expect(await pushed.client.deadLetters.redrive()).toEqual({ redriven: 1, deleted: 2 });
    await expect(waiting.result({ timeout: seconds(5) })).resolves.toBe(4);
    await letters(0);
    expect(await pushed.client.deadLetters.redrive()).toEqual({ redriven: 0, deleted: 0 });
  });

  it('are delivered again by their ids, and listed in pages', async () => {
    isBroken = true;
    const handles = [await pushed.client.start(Brief, 3), await pushed.client.start(Brief, 4)];
    for (const { runId } of handles) await publish({ v: 1, run: runId, queue: 'default', seq: '0.0' });
    await letters(2);
    isBroken = false;
    const first = await pushed.client.deadLetters.list({ limit: 1 });
    const second = await pushed.client.deadLetters.list({ limit: 1, cursor: first.cursor! });
    expect(second.cursor).toBeUndefined();
    const ids = [...first.deadLetters, ...second.deadLetters].map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
    expect(await pushed.client.deadLetters.redrive(ids)).toEqual({ redriven: 2, deleted: 0 });
    await expect(Promise.all(handles.map((handle) => handle.result({ timeout: seconds(5) })))).resolves.toEqual([6, 8]);
  });

  it('cannot be listed with bad arguments, or by an application without QStash', async () => {
    const { deadLetters } = pushed.client;
    await expect(deadLetters.list({ limit: 0 })).rejects.toMatchObject({ argument: 'options.limit' });
    await expect(deadLetters.list({ cursor: 1 as never })).rejects.toMatchObject({ argument: 'options.cursor' });
    await expect(deadLetters.redrive('all' as never)).rejects.toMatchObject({ argument: 'ids' });
    await expect(deadLetters.redrive([''])).rejects.toMatchObject({ argument: 'ids[0]' });
    const { client } = await startApplication(database.url, [], { worker: false });
    await expect(client.deadLetters.list()).rejects.toBeInstanceOf(WorkflowConfigurationError);
    await expect(client.deadLetters.redrive()).rejects.toBeInstanceOf(WorkflowConfigurationError);
  });
});

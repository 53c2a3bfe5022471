import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowConfigurationError, type WorkflowContext } from '../../src/index.js';
import { QStashEmulator } from '../../src/testing/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedSettings } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';
import { Lines, send, wakeUp } from './requests.js';

@Workflow({ name: 'short' })
class Short {
  async run(fails: boolean, ctx: WorkflowContext): Promise<string> {
    await ctx.step('maybe', { retry: { maxAttempts: 1 } }, () => {
      if (fails) throw new Error('so it goes');
    });
    return 'done';
  }
}

const VARIABLES = [
  'NODE_ENV',
  'QSTASH_DEV',
  'QSTASH_TOKEN',
  'QSTASH_URL',
  'QSTASH_TARGET_URL',
  'QSTASH_CURRENT_SIGNING_KEY',
  'QSTASH_NEXT_SIGNING_KEY',
  'QSTASH_REGION',
  'EU_CENTRAL_1_QSTASH_URL',
  'EU_CENTRAL_1_QSTASH_TOKEN',
] as const;
const NO_KEYS = { currentSigningKey: undefined, nextSigningKey: undefined } as object;

let database: TestDatabase;
let qstash: QStashEmulator;
const before = VARIABLES.map((variable) => [variable, process.env[variable]] as const);
beforeAll(async () => {
  database = await createTestDatabase();
  qstash = await QStashEmulator.start();
});
afterEach(async () => {
  for (const [variable, value] of before) {
    if (value === undefined) delete process.env[variable];
    else process.env[variable] = value;
  }
  await closeApplications();
  qstash.clear();
});
afterAll(async () => {
  await qstash.close();
  await database.drop();
});

async function boot(environment: Partial<Record<(typeof VARIABLES)[number], string>>, options: PushedSettings['options'] = {}) {
  Object.assign(process.env, environment);
  const logger = new Lines();
  const pushed = await startPushed(database.url, [Short], { qstash, options, logger });
  return { pushed, logger };
}

function expectNoSecret(text: string): void {
  for (const secret of [qstash.token, qstash.currentSigningKey, qstash.nextSigningKey]) expect(text).not.toContain(secret);
}

describe('an application in production', () => {
  it.each<[string, Parameters<typeof boot>]>([
    ['without signing keys', [{}, { qstash: NO_KEYS }]],
    ['with the current key alone', [{}, { qstash: { nextSigningKey: undefined } }]],
    ['with the next key alone', [{}, { qstash: { currentSigningKey: undefined } }]],
    ['with empty keys in its environment', [{ QSTASH_CURRENT_SIGNING_KEY: '', QSTASH_NEXT_SIGNING_KEY: '' }, { qstash: NO_KEYS }]],
    ['without signing keys, with transport both', [{}, { transport: 'both', qstash: NO_KEYS }]],
    ['with QSTASH_DEV, although it has keys', [{ QSTASH_DEV: 'true' }, {}]],
    ['with QSTASH_DEV, although it only starts runs', [{ QSTASH_DEV: '1' }, { worker: false }]],
  ])('does not boot %s', async (_, [environment, options]) => {
    const error = await boot({ NODE_ENV: 'production', ...environment }, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowConfigurationError);
    expect((error as Error).message).toMatch(/QSTASH_(DEV|CURRENT_SIGNING_KEY)/);
    expectNoSecret(`${(error as Error).stack}`);
  });

  it('boots without keys, and without an endpoint, when it only starts runs', async () => {
    const { pushed } = await boot({ NODE_ENV: 'production' }, { worker: false, qstash: NO_KEYS });
    const { runId } = await pushed.client.start(Short, false);
    expect(qstash.messages.map(({ body }) => JSON.stringify(body))).toEqual([expect.stringContaining(runId)]);
    expect((await send(pushed, { body: wakeUp(runId) })).status).toBe(404);
  });

  it('boots with the keys of its environment, and executes runs', async () => {
    const { currentSigningKey, nextSigningKey } = qstash;
    const { pushed } = await boot(
      { NODE_ENV: 'production', QSTASH_CURRENT_SIGNING_KEY: currentSigningKey, QSTASH_NEXT_SIGNING_KEY: nextSigningKey },
      { qstash: NO_KEYS },
    );
    expect(await (await pushed.client.start(Short, false)).result({ timeout: seconds(10) })).toBe('done');
  });
});

describe('an application', () => {
  it('boots without keys outside of production, logs this, and refuses every delivery', async () => {
    const { pushed, logger } = await boot({ NODE_ENV: 'development' }, { qstash: NO_KEYS });
    await waitFor(() => logger.has('QSTASH_CURRENT_SIGNING_KEY'));
    expect((await send(pushed, { body: wakeUp('nobody') })).status).toBe(401);
    const development = 'sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r';
    const body = wakeUp('nobody');
    const signature = qstash.sign({ url: `${pushed.targetUrl}/workflow/qstash`, body, signingKey: development });
    expect((await send(pushed, { body, signature })).status).toBe(401);
  });

  it.each([
    ['QSTASH_DEV', { NODE_ENV: 'development', QSTASH_DEV: 'true' }],
    ['a region', { QSTASH_REGION: 'EU_CENTRAL_1', EU_CENTRAL_1_QSTASH_URL: 'http://127.0.0.1:1', EU_CENTRAL_1_QSTASH_TOKEN: 'other' }],
    ['an empty address', { QSTASH_URL: '' }],
  ])('uses its options when its environment has %s', async (_, environment) => {
    const { pushed } = await boot(environment);
    expect(await (await pushed.client.start(Short, false)).result({ timeout: seconds(10) })).toBe('done');
  });

  it('shows its token and its keys in no log line, no error and no health', async () => {
    const { pushed, logger } = await boot({}, {});
    await (await pushed.client.start(Short, false)).result({ timeout: seconds(10) });
    const failure = await (await pushed.client.start(Short, true)).result({ timeout: seconds(10) }).catch((error: unknown) => error);
    expectNoSecret(String((failure as Error).stack));
    await send(pushed, { body: 'x', signature: qstash.sign({ url: 'https://elsewhere.example', body: 'x' }) });
    await send(pushed, { body: 'x', signature: 'a.b.c' });
    qstash.setFaults({ failPublish: 1 });
    await pushed.client.start(Short, false);
    await waitFor(() => logger.has('could not announce due runs'));
    qstash.setFaults({});
    const health = await pushed.client.health();
    expectNoSecret(JSON.stringify(health));
    expectNoSecret(logger.lines.join('\n'));
    const { logger: refused } = await boot({}, { qstash: { token: 'qstash_of_nobody', namespace: 'refused' } });
    await waitFor(() => refused.has('could not create the schedule of the sweep'));
    expect(refused.has('qstash_of_nobody')).toBe(false);
  });

  it('boots, and logs why QStash refuses its schedule', async () => {
    const { pushed, logger } = await boot({}, { qstash: { sweep: { cron: '99 * * * *' } } });
    await waitFor(() => logger.has('invalid cron expression: 99 * * * *'));
    expect(logger.has('could not create the schedule of the sweep')).toBe(true);
    expect(await (await pushed.client.start(Short, false)).result({ timeout: seconds(10) })).toBe('done');
  });

  it('boots, and logs why QStash cannot be reached', async () => {
    const { pushed, logger } = await boot({}, { qstash: { url: 'http://nowhere.invalid' } });
    await waitFor(() => logger.has('could not create the schedule of the sweep: fetch failed: getaddrinfo'));
    await pushed.client.start(Short, false);
    expect(logger.has('could not announce due runs; retrying: fetch failed: getaddrinfo')).toBe(true);
  });
});

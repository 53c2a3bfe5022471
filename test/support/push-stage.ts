import type { ModuleMetadata, Provider } from '@nestjs/common';
import pg from 'pg';

import { within } from '../../src/core/async.js';
import type { WorkflowModuleOptions } from '../../src/index.js';
import type { TestApplication } from './test-application.js';
import { onePass } from './one-pass.js';
import { PushFront } from './push-front.js';
import { startPushed } from './pushed-application.js';

interface Stage {
  readonly front: PushFront;
  readonly pool: pg.Pool;
}

const stages = new Map<string, Promise<Stage>>();

/** Once their applications are closed. */
export async function closeStages(): Promise<void> {
  const closing = [...stages.values()];
  stages.clear();
  for (const stage of closing) {
    const { front, pool } = await stage;
    await front.close();
    // A database that has fallen silent does not say goodbye.
    await within(2_000, pool.end());
  }
}

async function startStage(url: string): Promise<Stage> {
  const pool = new pg.Pool({ connectionString: url, max: 1, idleTimeoutMillis: 500 });
  // The database of a test is dropped before its applications' QStash is gone.
  pool.on('error', () => undefined);
  return { pool, front: await PushFront.start((text) => pool.query(text)) };
}

/** Returns the front that drives the applications of a database. */
export async function frontOf(url: string): Promise<PushFront> {
  let stage = stages.get(url);
  if (!stage) stages.set(url, (stage = startStage(url)));
  return (await stage).front;
}

/**
 * Boots an application as DURABLE_CONFORMANCE says, driven by the same QStash as the others on its
 * database.
 */
export async function startOnStage(
  url: string,
  providers: Provider[],
  options: Omit<WorkflowModuleOptions, 'connection'>,
  imports: NonNullable<ModuleMetadata['imports']>,
): Promise<TestApplication> {
  const front = await frontOf(url);
  const transport = process.env['DURABLE_CONFORMANCE'] === 'both' ? 'both' : 'qstash';
  const pushed = await startPushed(url, providers, {
    imports,
    options: { transport, ...options, worker: onePass(options.worker), qstash: { ...front.options, ...options.qstash } },
    qstash: front.qstash,
    targetUrl: front.url,
  });
  if (options.worker !== false) front.add(pushed.ownUrl);
  const close = async (): Promise<void> => {
    front.remove(pushed.ownUrl);
    await pushed.close();
  };
  return { client: pushed.client, module: pushed.module, close };
}

import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { FaultScene, range, troublesOf } from '../support/faults/fault-workers.js';
import { makeHome, Server } from '../support/faults/server-pair.js';
import { PATIENCE, waitFor } from '../support/wait.js';

const run = promisify(execFile);
const ROOT = '/usr/lib/postgresql';
/** Folder of Debian's PostgreSQL. The PostgreSQL from npm has no pg_dump. */
const binaries = (existsSync(ROOT) ? readdirSync(ROOT) : [])
  .map((version) => join(ROOT, version))
  .find((folder) => ['initdb', 'postgres', 'pg_dump', 'pg_restore'].every((name) => existsSync(join(folder, 'bin', name))));

if (binaries === undefined) process.stderr.write('there is no pg_dump with a server: its test is skipped\n');

function databaseAt(url: string, drop: () => Promise<void>): TestDatabase {
  const pool = new pg.Pool({ connectionString: url, max: 3, allowExitOnIdle: true });
  pool.on('error', () => undefined);
  return {
    url,
    query: async <Row>(sql: string, params?: readonly unknown[]) => (await pool.query(sql, params && [...params])).rows as Row[],
    drop: async () => {
      await pool.end();
      await drop();
    },
  };
}

(binaries === undefined ? describe.skip : describe)('a dump of a database with active runs', () => {
  it('is restored as a copy that executes no run until an operator removes its row of workflow_home', async () => {
    const home = await makeHome(binaries);
    const server = await Server.start(home, 'first', []);
    const scene = await FaultScene.create(
      databaseAt(server.url, () => server.crash()),
      await createTestDatabase(),
    );
    const restored = databaseAt(Object.assign(new URL(server.url), { pathname: '/restored' }).href, async () => undefined);
    try {
      const ids = range('run-', 30);
      const worker = await scene.ready();
      await scene.database.query('CREATE DATABASE restored');
      // No run may end before the dump has begun.
      await scene.start('adder', { steps: 20, ms: 200 * PATIENCE }, ids);
      await waitFor(async () => (await scene.database.query('SELECT 1 FROM durable.workflow_steps')).length > 60);
      const file = join(home.directory, 'dump');
      await run(join(binaries!, 'bin', 'pg_dump'), ['-Fc', '-f', file, '-d', server.url]);
      await run(join(binaries!, 'bin', 'pg_restore'), ['-d', restored.url, file]);
      const unfinished = `SELECT count(*)::int AS runs FROM durable.workflow_runs WHERE finished_at IS NULL`;
      expect(await restored.query(unfinished)).toEqual([{ runs: 30 }]);

      const stranger = scene.spawn({ url: restored.url });
      await stranger.waitForLine(/^ERROR worker: executes no run here: the database is a copy/);
      await waitFor(async () => (await scene.statuses('run-'))['completed'] === 30, {
        timeoutMs: 40_000,
        message: 'the original to finish',
      });
      expect(troublesOf(worker)).toEqual([]);
      // Each body was executed once, by the worker of the original.
      const [facts] = await scene.counts.query('SELECT count(*)::int AS bodies, count(DISTINCT pid)::int AS processes FROM bodies');
      expect(facts).toEqual({ bodies: 600, processes: 1 });
      expect(await restored.query(unfinished)).toEqual([{ runs: 30 }]);

      await restored.query('DELETE FROM durable.workflow_home');
      const ended = `SELECT status, output::text AS sum, count(*)::int AS runs FROM durable.workflow_runs GROUP BY 1, 2`;
      await waitFor(async () => (await restored.query(unfinished))[0].runs === 0, { timeoutMs: 40_000, message: 'the copy to finish' });
      expect(await restored.query(ended)).toEqual([{ status: 'completed', sum: '210', runs: 30 }]);
      const steps = await restored.query(
        'SELECT count(*)::int AS steps, count(DISTINCT (run_id, step_key))::int AS keys FROM durable.workflow_steps',
      );
      expect(steps).toEqual([{ steps: 600, keys: 600 }]);
    } finally {
      await restored.drop();
      await scene.close();
      await rm(home.directory, { recursive: true, force: true, maxRetries: 5 });
    }
  });
});

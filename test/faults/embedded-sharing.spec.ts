import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { itLong } from '../support/long-form.js';
import { Sandbox, query } from '../embedded/sandbox.js';

describe('an embedded PostgreSQL', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => sandbox.close());

  it('is a real server with UTF-8, UTC and durable settings', async () => {
    const app = await sandbox.start();

    const [settings] = await query(
      app.url,
      `SELECT current_setting('server_encoding') AS encoding, current_setting('timezone') AS timezone, current_setting('fsync') AS fsync,
        current_setting('max_connections') AS connections, current_setting('listen_addresses') AS addresses,
        current_setting('unix_socket_directories') AS sockets`,
    );

    expect(settings).toEqual({ encoding: 'UTF8', timezone: 'UTC', fsync: 'on', connections: '200', addresses: '127.0.0.1', sockets: '' });
  });

  it('refuses a wrong password', async () => {
    const app = await sandbox.start();
    const url = new URL(app.url);
    url.password = 'guessed';

    await expect(query(url.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
  });

  it('removes a temporary folder when it is stopped', async () => {
    const app = await sandbox.start();
    expect(sandbox.temporaryDirectories()).toHaveLength(1);

    await app.stop();

    expect(sandbox.temporaryDirectories()).toEqual([]);
    expect(sandbox.servers()).toEqual([]);
    expect(sandbox.supervisors()).toEqual([]);
  });

  it('keeps its data, its address and its password in dataDir between starts', async () => {
    const first = await sandbox.start(sandbox.dataDir);
    await query(first.url, `CREATE TABLE kept AS SELECT 'here' AS word`);
    await first.stop();
    expect(sandbox.servers()).toEqual([]);

    const second = await sandbox.start(sandbox.dataDir);

    expect(await query(second.url, 'SELECT word FROM kept')).toEqual([{ word: 'here' }]);
    expect(second.url).toBe(first.url);
  });

  it('is shared by the processes that name the same dataDir, and stops with the last one', async () => {
    const first = await sandbox.start(sandbox.dataDir);
    const second = await sandbox.start(sandbox.dataDir);
    expect(second.url).toBe(first.url);
    expect(sandbox.servers()).toHaveLength(1);

    await first.stop();
    await first.process.exited;
    expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

    await second.stop();
    expect(sandbox.servers()).toEqual([]);
    expect(sandbox.supervisors()).toEqual([]);
  });

  it('is one server when four processes start on a new dataDir at the same time', async () => {
    const apps = await Promise.all([1, 2, 3, 4].map(() => sandbox.start(sandbox.dataDir)));

    expect(new Set(apps.map((app) => app.url)).size).toBe(1);
    expect(sandbox.servers()).toHaveLength(1);
    expect(sandbox.supervisors()).toHaveLength(1);
  });

  itLong('starts again for a process that starts while the last one stops', async () => {
    let app = await sandbox.start(sandbox.dataDir);
    for (let round = 0; round < 3; round++) {
      const [next] = await Promise.all([sandbox.start(sandbox.dataDir), app.stop()]);
      expect(await query(next.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      app = next;
    }
  });

  it('protects its data and its password from other users', async () => {
    const app = await sandbox.start(sandbox.dataDir);
    const password = new URL(app.url).password;

    expect(statSync(join(sandbox.dataDir, 'cluster')).mode & 0o777).toBe(0o700);
    const files = readdirSync(sandbox.dataDir).filter((entry) => entry !== 'cluster');
    for (const file of files) expect([file, statSync(join(sandbox.dataDir, file)).mode & 0o777]).toEqual([file, 0o600]);
    expect(files.filter((file) => readFileSync(join(sandbox.dataDir, file), 'utf8').includes(password))).toEqual(['server.json']);
  });

  it('does not keep alive a script that forgets to stop it', async () => {
    const app = await sandbox.start(undefined, 'forget');

    expect(await app.process.exited).toEqual({ code: 0, signal: null });

    await sandbox.becomesQuiet();
    expect(sandbox.temporaryDirectories()).toEqual([]);
    expect(existsSync(sandbox.dataDir)).toBe(false);
  });
});

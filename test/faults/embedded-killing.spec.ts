import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { itLong } from '../support/long-form.js';
import { waitFor } from '../support/wait.js';
import { Sandbox, childrenOf, isAlive, query } from '../embedded/sandbox.js';

const kill = (pids: number[]): void => pids.forEach((pid) => process.kill(pid, 'SIGKILL'));

describe('an embedded PostgreSQL whose processes are killed', () => {
  let sandbox: Sandbox;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(() => sandbox.close());

  it('leaves no process and no folder after SIGKILL of the application', async () => {
    const app = await sandbox.start();
    const family = sandbox.servers().flatMap((pid) => [pid, ...childrenOf(pid)]);
    expect(family.length).toBeGreaterThan(3);

    app.process.kill('SIGKILL');

    await sandbox.becomesQuiet();
    await waitFor(() => sandbox.temporaryDirectories().length === 0, { message: 'the folder to go' });
    await waitFor(() => !family.some(isAlive), { message: 'the server processes to end' });
  });

  itLong('leaves nothing when the application is killed while the server starts', async () => {
    for (const delay of [50, 150, 300, 600]) {
      const app = sandbox.spawn();
      await new Promise((resolve) => setTimeout(resolve, delay));
      app.kill('SIGKILL');
      await app.exited;
      await sandbox.becomesQuiet();
    }
    // A process that died before its supervisor listened leaves an empty folder. A later start
    // removes the folder once it is old.
    const contents = sandbox.temporaryDirectories().flatMap((entry) => readdirSync(join(sandbox.temporary, entry)));
    expect(contents).toEqual([]);
  });

  it('continues for the second process when the first of two is killed', async () => {
    const [first, second] = await Promise.all([sandbox.start(sandbox.dataDir), sandbox.start(sandbox.dataDir)]);

    first.process.kill('SIGKILL');
    await first.process.exited;

    expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    second.process.kill('SIGKILL');
    await sandbox.becomesQuiet();
  });

  itLong('is removed by the next start after SIGKILL of application and supervisor', async () => {
    const lost = await sandbox.start();
    const [folder] = sandbox.temporaryDirectories();
    kill([...sandbox.supervisors(), lost.process.child.pid!]);
    await lost.process.exited;
    expect(sandbox.servers()).toHaveLength(1);

    const next = await sandbox.start();

    await waitFor(() => !sandbox.temporaryDirectories().includes(folder!), { message: 'the folder left behind to go' });
    expect(sandbox.servers()).toHaveLength(1);
    expect(await query(next.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await next.stop();
    expect(sandbox.temporaryDirectories()).toEqual([]);
  });

  it('is taken over by the next start on its dataDir after SIGKILL of application and supervisor', async () => {
    const lost = await sandbox.start(sandbox.dataDir);
    await query(lost.url, `CREATE TABLE kept AS SELECT 'here' AS word`);
    kill([...sandbox.supervisors(), lost.process.child.pid!]);
    await lost.process.exited;
    expect(sandbox.servers()).toHaveLength(1);

    const next = await sandbox.start(sandbox.dataDir);

    expect(await query(next.url, 'SELECT word FROM kept')).toEqual([{ word: 'here' }]);
    expect(sandbox.servers()).toHaveLength(1);
    await next.stop();
    expect(sandbox.servers()).toEqual([]);
  });

  it('keeps committed data when every process is killed at once', async () => {
    const lost = await sandbox.start(sandbox.dataDir);
    await query(lost.url, `CREATE TABLE kept AS SELECT 'here' AS word`);
    kill([...sandbox.supervisors(), ...sandbox.servers(), lost.process.child.pid!]);
    await lost.process.exited;

    const next = await sandbox.start(sandbox.dataDir);

    expect(await query(next.url, 'SELECT word FROM kept')).toEqual([{ word: 'here' }]);
  });

  it.each(process.env['DURABLE_CHAOS'] ? ['temporary', 'kept'] : ['kept'])(
    'continues with another supervisor when its supervisor is killed (%s)',
    async (kind) => {
      const app = await sandbox.start(kind === 'kept' ? sandbox.dataDir : undefined);
      const [server] = sandbox.servers();

      kill(sandbox.supervisors());

      await waitFor(() => sandbox.supervisors().length === 1, { message: 'a new supervisor' });
      expect(sandbox.servers()).toEqual([server]);
      expect(await query(app.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      await app.stop();
      expect(sandbox.servers()).toEqual([]);
      expect(sandbox.supervisors()).toEqual([]);
      expect(sandbox.temporaryDirectories()).toEqual([]);
    },
  );

  it('restarts at the same address when the server is killed', async () => {
    const app = await sandbox.start(sandbox.dataDir);
    await query(app.url, `CREATE TABLE kept AS SELECT 'here' AS word`);

    kill(sandbox.servers());

    const rows = await waitFor(() => query(app.url, 'SELECT word FROM kept'), { message: 'the server to come back' });
    expect(rows).toEqual([{ word: 'here' }]);
  });

  it('still answers an application that shuts down on Ctrl-C', async () => {
    const app = await sandbox.start();

    // Sends SIGINT to the foreground group, as a terminal does. Processes in another session
    // do not receive it.
    app.process.kill('SIGINT');
    for (const pid of sandbox.supervisors()) process.kill(pid, 'SIGINT');
    await app.process.waitForLine(/^interrupted/);

    expect(await query(app.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await app.stop();
    expect(sandbox.temporaryDirectories()).toEqual([]);
  });
});

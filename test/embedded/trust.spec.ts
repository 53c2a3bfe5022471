import { chmodSync, chownSync, lchownSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { startEmbeddedPostgres } from '../../src/embedded/index.js';
import { query, Sandbox } from './sandbox.js';

const NOBODY = 65_534;
const itAsRoot = process.getuid?.() === 0 ? it : it.skip;
const itOnLinux = process.platform === 'linux' ? it : it.skip;

/**
 * Starts another program at the port of a lock file. It answers like a supervisor, with an address
 * that leads elsewhere.
 */
async function startRogue(): Promise<{ server: Server; port: number; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(`${JSON.stringify({ state: 'hello', nonce: 'x', proof: '0'.repeat(64) })}\n`);
    socket.write(`${JSON.stringify({ state: 'starting' })}\n`);
    socket.write(`${JSON.stringify({ state: 'ready', url: 'postgresql://127.0.0.1:1/rogue' })}\n`);
    socket.on('data', (data) => heard.push(data.toString()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port, heard };
}

describe('the embedded PostgreSQL beside other users of the machine', () => {
  let sandbox: Sandbox;
  let rogue: Awaited<ReturnType<typeof startRogue>>;

  beforeEach(async () => {
    sandbox = new Sandbox();
    rogue = await startRogue();
  });

  afterEach(async () => {
    await new Promise((resolve) => rogue.server.close(resolve));
    // The lock file names this process, and the sandbox would wait for the end of this process.
    rmSync(join(sandbox.dataDir, 'supervisor.1'), { force: true });
    await sandbox.close();
  });

  const layOut = (directory: string): void => {
    mkdirSync(directory);
    const lock = { port: rogue.port, token: 'shared-secret', pid: process.pid };
    writeFileSync(join(directory, 'supervisor.1'), JSON.stringify(lock));
  };
  const refusal = (dataDir: string): Promise<unknown> => startEmbeddedPostgres({ dataDir }).catch((error: unknown) => error);

  it('refuses a directory that others can write to', async () => {
    layOut(sandbox.dataDir);
    chmodSync(sandbox.dataDir, 0o777);

    const error = await refusal(sandbox.dataDir);

    expect(error).toMatchObject({ name: 'WorkflowConfigurationError' });
    expect(String(error)).toMatch(/cannot use \S+kept: other users can write to it\. Remove that right with: chmod go-w /);
    expect(rogue.heard).toEqual([]);
  });

  it('refuses a directory that a shared group can write to', async () => {
    layOut(sandbox.dataDir);
    chmodSync(sandbox.dataDir, 0o775);
    const { uid, gid } = statSync(sandbox.dataDir);
    const groups = process.getgroups?.() ?? [];
    const shared = process.getuid?.() === 0 ? NOBODY : groups.find((group) => group !== uid);
    if (gid === uid && shared !== undefined) chownSync(sandbox.dataDir, uid, shared);
    if (statSync(sandbox.dataDir).gid === uid) return;

    expect(String(await refusal(sandbox.dataDir))).toMatch(/other users can write to it/);
  });

  it('refuses a directory below one that others can write to, and creates none there', async () => {
    const open = join(sandbox.path, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    mkdirSync(join(open, 'made'), { mode: 0o700 });

    expect(String(await refusal(join(open, 'made')))).toMatch(/other users can write to \S+open\./);
    expect(String(await refusal(join(open, 'new')))).toMatch(/other users can write to/);
    expect(statSync(join(open, 'new'), { throwIfNoEntry: false })).toBeUndefined();

    symlinkSync(join(open, 'made'), join(sandbox.path, 'link'));
    expect(String(await refusal(join(sandbox.path, 'link')))).toMatch(/other users can write to \S+open\./);
  });

  itAsRoot('refuses a directory of another owner, and a symbolic link of another owner', async () => {
    layOut(sandbox.dataDir);
    chmodSync(sandbox.dataDir, 0o755);
    chownSync(sandbox.dataDir, NOBODY, NOBODY);
    expect(String(await refusal(sandbox.dataDir))).toMatch(/it belongs to another user \(uid 65534\)/);

    const target = join(sandbox.path, 'target');
    mkdirSync(target, { mode: 0o700 });
    const link = join(sandbox.path, 'link');
    symlinkSync(target, link);
    lchownSync(link, NOBODY, NOBODY);
    expect(String(await refusal(link))).toMatch(/it belongs to another user/);
    expect(rogue.heard).toEqual([]);
  });

  it('accepts an empty directory of its own user, and removes the write rights of others', async () => {
    mkdirSync(sandbox.dataDir);
    chmodSync(sandbox.dataDir, 0o777);

    const server = await startEmbeddedPostgres({ dataDir: sandbox.dataDir });

    expect(statSync(sandbox.dataDir).mode & 0o022).toBe(0);
    await server.stop();
  });

  it('does not send the token to a process at the port of its lock file, and does not accept its address', async () => {
    layOut(sandbox.dataDir);
    chmodSync(sandbox.dataDir, 0o711);

    const server = await startEmbeddedPostgres({ dataDir: sandbox.dataDir });

    expect(server.url).not.toMatch(/rogue/);
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(rogue.heard.length).toBeGreaterThan(0);
    expect(rogue.heard.join('')).not.toContain('shared-secret');
    await server.stop();
  });

  it('does not send its address to a process that does not know the token', async () => {
    const server = await startEmbeddedPostgres({ dataDir: sandbox.dataDir });
    const { port } = JSON.parse(readFileSync(join(sandbox.dataDir, 'supervisor.1'), 'utf8')) as { port: number };

    const socket = connect({ host: '127.0.0.1', port });
    const lines: string[] = [];
    createInterface({ input: socket }).on('line', (line) => {
      lines.push(line);
      const { nonce, proof } = JSON.parse(line) as { nonce: string; proof: string };
      // The supervisor's own proof, and a wrong one of the right length.
      socket.write(`${lines.length === 1 ? proof : nonce}\n${'0'.repeat(64)}\n`);
    });
    socket.write('nonce\n');
    await new Promise((resolve) => socket.once('close', resolve));

    expect(lines).toHaveLength(1);
    expect(Object.keys(JSON.parse(lines[0]!) as object)).toEqual(['state', 'nonce', 'proof']);
    await server.stop();
  });

  itOnLinux('does not pass the environment of the application to the server', async () => {
    const app = await sandbox.start(sandbox.dataDir, '', {
      DURABLE_TEST_SECRET: 'in-the-environment',
      AWS_SECRET_ACCESS_KEY: 'in-the-environment',
    });

    const pids = [...sandbox.servers(), ...sandbox.supervisors()];
    expect(pids.length).toBeGreaterThanOrEqual(2);
    for (const pid of pids) {
      const names = readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .map((entry) => entry.split('=')[0]!);
      expect(names).toContain('PATH');
      expect(names.filter((name) => !/^(PATH|HOME|USER|LOGNAME|TMPDIR|LC_ALL|LD_LIBRARY_PATH|PG\w*|)$/.test(name))).toEqual([]);
    }
    await app.stop();
  });
});

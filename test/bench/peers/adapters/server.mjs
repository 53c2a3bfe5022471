import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const BOOT_MS = 60_000;

/** Finds ports of 127.0.0.1 that nobody uses now. */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Starts a server in this process group and waits until `isReady` resolves with true. */
export async function startServer(file, args, environment, isReady) {
  const server = spawn(file, args, { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (text) => (output = (output + text).slice(-2_000));
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', keep);
  let gone;
  server.on('error', (error) => (gone = error.message));
  server.on('exit', (code, signal) => (gone = `exit ${signal ?? code}`));
  for (const deadline = Date.now() + BOOT_MS; !(await isReady().catch(() => false)); await sleep(50)) {
    if (gone !== undefined || Date.now() > deadline) throw new Error(`${file} did not start (${gone ?? 'too slow'})\n${output}`);
  }
  return server.pid;
}

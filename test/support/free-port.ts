import { createServer } from 'node:net';

/**
 * Ports below those that systems give to outgoing connections: such a port could be taken again
 * before the server listens. Each worker of Jest has a part of its own, for the same reason.
 */
const [FIRST, LAST] = [10_240, 32_000];
const PARTS = 16;
const PART = Number(process.env['JEST_WORKER_ID'] ?? 0) % PARTS;
const SIZE = Math.floor((LAST - FIRST) / PARTS);

/** Ports that this process has given out. Their servers may not listen yet. */
const given = new Set<number>();

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (listens) await new Promise((resolve) => server.close(resolve));
  return listens;
}

/** For a server that has to know its address before it listens. */
export async function freePort(): Promise<number> {
  const port = FIRST + PART * SIZE + Math.floor(Math.random() * SIZE);
  if (given.has(port)) return freePort();
  given.add(port);
  return (await isFree(port)) ? port : freePort();
}

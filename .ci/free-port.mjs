// Finds a port for a server that starts later.
import { createServer } from 'node:net';

/**
 * Ports below those that systems give to outgoing connections: an installation opens many of them
 * before the server listens.
 */
const [FIRST, LAST] = [10_240, 32_000];

function isFree(port) {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

export async function freePort() {
  const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
  return (await isFree(port)) ? port : freePort();
}

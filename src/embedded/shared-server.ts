import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { findNative } from './binaries.js';
import { temporaryRoot } from './directory.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './index.js';
import { serverUser } from './server-user.js';

/**
 * Starts the server that all tests of a project share, or joins it when it runs. Its directory is
 * kept, so that later test runs need not create a cluster again. When the kept directory cannot be
 * used, for example after a power failure, starts a temporary server.
 *
 * @throws WorkflowConfigurationError when the binaries are missing or no server starts
 */
export async function startSharedPostgres(): Promise<EmbeddedPostgres> {
  const native = findNative();
  const owner = String(process.getuid?.() ?? 'shared');
  const project = createHash('sha256').update(native).digest('hex').slice(0, 12);
  const dataDir = join(temporaryRoot(await serverUser()), `nestjs-durable-testing-${owner}-${project}`);
  return startEmbeddedPostgres({ dataDir, fast: true }).catch(() => startEmbeddedPostgres({ fast: true }));
}

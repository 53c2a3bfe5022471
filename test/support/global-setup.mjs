import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import pg from 'pg';
import { compileTests, compiledDir } from './compile.mjs';
import { buildDashboardPage } from './dashboard-page.mjs';

const require = createRequire(import.meta.url);

/**
 * Starts one server per Jest run: that of DATABASE_URL, else an embedded one without the settings
 * that survive a power cut.
 */
async function startServer() {
  if (process.env.DATABASE_URL) return { url: process.env.DATABASE_URL, stop: async () => {} };
  const { startEmbeddedPostgres } = require(join(compiledDir, 'src/embedded/index.js'));
  return startEmbeddedPostgres({ fast: true });
}

async function dropDatabases(url, prefix) {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query('SELECT datname FROM pg_database WHERE starts_with(datname, $1)', [prefix]);
    for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(datname)} WITH (FORCE)`);
  } finally {
    await client.end();
  }
}

export default async function globalSetup() {
  await buildDashboardPage();
  await compileTests();
  const server = await startServer();
  const prefix = `durable_test_${Date.now().toString(36)}${randomBytes(2).toString('hex')}_`;
  // Jest's workers inherit these.
  process.env.DURABLE_TEST_COMPILED_DIR = compiledDir;
  process.env.DURABLE_TEST_SERVER_URL = server.url;
  process.env.DURABLE_TEST_DATABASE_PREFIX = prefix;
  globalThis.__durableTestTeardown = async () => {
    try {
      await dropDatabases(server.url, prefix);
    } finally {
      await server.stop();
    }
  };
}

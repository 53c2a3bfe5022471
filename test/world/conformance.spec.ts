import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it } from '@jest/globals';

import { createTestDatabase } from '../support/database.js';
import { kitFolder } from './support/kits.js';

interface Report {
  readonly testResults: {
    readonly assertionResults: { readonly title: string; readonly status: string; readonly failureMessages: string[] }[];
  }[];
}

/** Runs the kit's own tests in a process of their own, and returns their report. */
async function runSuite(env: Record<string, string>): Promise<Report> {
  const folder = kitFolder('beta5');
  const report = join(mkdtempSync(join(tmpdir(), 'world-suite-')), 'report.json');
  // The suite has time limits of its own, so a test that misses one is tried again.
  const args = [join(folder, 'node_modules/vitest/vitest.mjs'), 'run', '--retry=3', '--reporter=json', `--outputFile=${report}`];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: undefined, PORT: undefined, ...env },
    stdio: 'ignore',
  });
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(readFileSync(report, 'utf8')) as Report;
}

it('passes the twelve tests of @workflow/world-testing with the poller', async () => {
  const database = await createTestDatabase();
  const report = await runSuite({
    DATABASE_URL: database.url,
    WORLD_FILE: join(process.env.DURABLE_TEST_COMPILED_DIR!, 'src/world/index.js'),
  });
  await database.drop();
  const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  expect(results.filter(({ status }) => status !== 'passed')).toEqual([]);
  expect(results).toHaveLength(12);
});

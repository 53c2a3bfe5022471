import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { kitFolder, nodeBinary, type NodeVersion } from './kits.js';

/** Result of one of the kit's own tests. */
export interface SuiteResult {
  readonly title: string;
  readonly status: string;
  readonly failureMessages: string[];
}

/** Runs the kit's own tests on a version of Node, and returns their results. */
export async function runSuite(version: NodeVersion, env: Record<string, string>): Promise<SuiteResult[]> {
  const folder = kitFolder('beta5');
  const report = join(mkdtempSync(join(tmpdir(), 'world-suite-')), 'report.json');
  // The suite has time limits of its own, so a test that misses one is tried again.
  const args = [join(folder, 'node_modules/vitest/vitest.mjs'), 'run', '--retry=3', '--reporter=json', `--outputFile=${report}`];
  const WORLD_FILE = join(process.env.DURABLE_TEST_COMPILED_DIR!, 'src/world/index.js');
  const child = spawn(nodeBinary(version), args, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: undefined, PORT: undefined, WORLD_FILE, ...env },
    stdio: 'ignore',
  });
  await new Promise((resolve) => child.once('close', resolve));
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as { testResults: { assertionResults: SuiteResult[] }[] };
  return testResults.flatMap(({ assertionResults }) => assertionResults);
}

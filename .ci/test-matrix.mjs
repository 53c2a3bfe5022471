// Runs the package on the major versions of PostgreSQL, and under settings of roles and databases.
// Prints the results as tables.
//   npm run test:matrix                    everything: half an hour, an hour on a busy machine
//   npm run test:matrix -- --quick         as in CI: oldest and newest version, a dozen settings
//   npm run test:matrix -- --majors 14,16 --suites store,settings
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { install, startServer, VERSIONS } from './matrix-servers.mjs';

/** Spec files of each column. `settings` has a Jest configuration of its own. */
const SUITES = {
  migrations: ['test/integration/schema/'],
  store: ['src/store/'],
  client: ['test/integration/client/', 'test/integration/listing/', 'test/integration/transactions/'],
  engine: ['test/integration/engine/'],
  conformance: ['test/conformance/'],
  settings: [],
};
const TOO_OLD = 12;

const isQuick = process.argv.includes('--quick');
const listOf = (flag, usual) => (process.argv.includes(flag) ? process.argv[process.argv.indexOf(flag) + 1].split(',') : usual);
const everyMajor = Object.keys(VERSIONS).map(Number);
const majors = listOf('--majors', isQuick ? [TOO_OLD, 13, 18] : everyMajor).map(Number);
const suites = listOf('--suites', isQuick ? ['settings'] : Object.keys(SUITES));
for (const major of majors)
  if (!(major in VERSIONS)) throw new Error(`there is no PostgreSQL ${major} here, only ${everyMajor.join(', ')}`);
for (const suite of suites) if (!(suite in SUITES)) throw new Error(`there is no suite ${suite}, only ${Object.keys(SUITES).join(', ')}`);

const scratch = mkdtempSync(join(tmpdir(), 'nestjs-durable-matrix-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const report = join(scratch, 'report.jsonl');
const outcomes = new Map();
let failures = 0;

/** Runs Jest once and counts its tests. */
function runJest(url, suite, more) {
  const results = join(scratch, 'results.json');
  rmSync(results, { force: true });
  const config = suite === 'settings' ? 'jest.matrix.config.mjs' : suite === 'store' ? 'jest.config.mjs' : 'jest.integration.config.mjs';
  const { status } = spawnSync(
    'npx',
    ['jest', '--config', config, ...SUITES[suite], '--json', `--outputFile=${results}`, '--silent', ...more],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DATABASE_URL: url, DURABLE_MATRIX: isQuick ? 'quick' : 'all', DURABLE_MATRIX_REPORT: report },
    },
  );
  const { numPassedTests: passed, numFailedTests: failed, testResults } = JSON.parse(readFileSync(results, 'utf8'));
  for (const { message } of testResults) if (message) console.log(message);
  return { hasPassed: status === 0, passed, failed };
}

/**
 * Runs a suite, and then each failed spec file once more by itself: on a busy machine, tests may
 * exceed their time limit. The table shows such repetitions.
 */
function runSuite(url, suite) {
  writeFileSync(report, '');
  const first = runJest(url, suite, ['-w', '2']);
  const second = first.hasPassed ? undefined : runJest(url, suite, ['--onlyFailures', '--runInBand']);
  const hasPassed = first.hasPassed || second.hasPassed;
  if (!hasPassed) failures++;
  const settings = readFileSync(report, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const total = suite === 'settings' ? new Set(settings.map(([name]) => name)).size : first.passed + first.failed;
  if (!hasPassed) return { settings, cell: `${second.failed} of ${first.passed + first.failed} FAILED` };
  return { settings, cell: `${total} passed${second ? ` (${first.failed} at the second try)` : ''}` };
}

install(majors);
const rows = [];
for (const major of majors) {
  const server = await startServer(major);
  const cells = [];
  try {
    for (const suite of major === TOO_OLD ? ['settings'] : suites) {
      const { cell, settings } = runSuite(server.url, suite);
      cells.push(major === TOO_OLD && cell.endsWith('passed') ? 'refused at boot' : cell);
      for (const [name, outcome] of settings) outcomes.set(name, { ...outcomes.get(name), [major]: outcome });
      console.log(`PostgreSQL ${VERSIONS[major]}: ${suite}: ${cells.at(-1)}`);
    }
  } finally {
    await server.stop();
  }
  rows.push([VERSIONS[major].replace(/\.0-.*|-.*/, ''), ...cells]);
}

const table = (head, body) =>
  [head, head.map(() => '---'), ...body].map((cells) => `| ${head.map((_, index) => cells[index] ?? '').join(' | ')} |`).join('\n');
console.log(`\n${table(['PostgreSQL', ...suites], rows)}\n`);
if (outcomes.size > 0) {
  const tried = majors.filter((major) => major !== TOO_OLD);
  const show = (outcome) => (outcome === 'not there' ? '-' : (outcome ?? 'FAILED'));
  console.log(
    table(
      ['setting', ...tried],
      [...outcomes].map(([name, by]) => [`\`${name}\``, ...tried.map((major) => show(by[major]))]),
    ),
  );
}
console.log(
  `\nNode ${process.versions.node}, ${process.platform}-${process.arch}; ${failures === 0 ? 'everything held' : `${failures} FAILED`}`,
);
process.exitCode = failures === 0 ? 0 : 1;

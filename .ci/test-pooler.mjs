// Runs the tests that execute workflows through a real PgBouncer in transaction mode, without and
// with a direct connection. `--quick` runs a part. Without pgbouncer the script runs nothing and
// says so.
import { spawnSync } from 'node:child_process';

const isThere = ['pgbouncer', '/usr/sbin/pgbouncer'].some((binary) => spawnSync(binary, ['--version']).status === 0);
if (!isThere) {
  console.log('pgbouncer is not installed: skipped');
  process.exit(0);
}

const quick = process.argv.includes('--quick');
const names = (list) => list.map((name) => `test/integration/${name}`);
const everything = names(['client/', 'engine/', 'nest/']);
const parts = quick
  ? {
      on: names(['client/start', 'engine/steps', 'engine/suspending']),
      listen: names(['client/remote', 'client/cancel']),
    }
  : { on: everything, listen: everything };

for (const [mode, paths] of Object.entries(parts)) {
  const env = { ...process.env, DURABLE_TEST_POOLER: mode };
  const { status } = spawnSync(
    'npx',
    ['jest', '--config', 'jest.integration.config.mjs', ...paths, ...process.argv.slice(2).filter((argument) => argument !== '--quick')],
    {
      stdio: 'inherit',
      env,
    },
  );
  if (status !== 0) process.exit(status ?? 1);
}

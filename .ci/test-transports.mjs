// Runs the conformance suite with QStash, and with QStash beside polling workers, over HTTP against
// the emulator. `npm run test:integration` runs the same suite with polling workers only.
import { spawnSync } from 'node:child_process';

for (const transport of ['qstash', 'both']) {
  console.log(`conformance with transport '${transport}'`);
  const env = { ...process.env, DURABLE_CONFORMANCE: transport };
  const { status } = spawnSync('npx', ['jest', '--config', 'jest.integration.config.mjs', 'test/conformance', ...process.argv.slice(2)], {
    stdio: 'inherit',
    env,
  });
  if (status !== 0) process.exit(status ?? 1);
}

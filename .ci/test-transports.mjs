// Runs the conformance suite, which `npm test` runs with workers that poll, with QStash in their place, and with both: over HTTP, against the emulator.
import { spawnSync } from 'node:child_process';

for (const transport of ['qstash', 'both']) {
  console.log(`conformance with transport '${transport}'`);
  const env = { ...process.env, DURABLE_CONFORMANCE: transport };
  const { status } = spawnSync('npx', ['jest', 'test/conformance', ...process.argv.slice(2)], { stdio: 'inherit', env });
  if (status !== 0) process.exit(status ?? 1);
}

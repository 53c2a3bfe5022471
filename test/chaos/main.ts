import { fileURLToPath } from 'node:url';

import { readArguments } from './arguments.js';
import { runChaos } from './chaos.js';
import { openDatabase } from './database.js';
import { runQStashChaos } from './qstash/chaos.js';
import { describeReport, failedChecks } from './report.js';

const settings = readArguments(process.argv.slice(2));
const { transport, seed, runs, workers, seconds, faults, workload } = settings;
console.log(
  `seed ${seed}: ${runs} runs of ${workload}, ${workers} workers, ${transport === 'poll' ? `${faults} faults in ` : ''}${seconds} s (npm run test:chaos -- --transport ${transport} --workload ${workload} --seed ${seed})`,
);
const database = await openDatabase();
const interrupted = (): void => void database.drop().finally(() => process.exit(1));
process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
try {
  const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const report =
    transport === 'poll'
      ? await runChaos(settings, database, fileOf('./worker.js'))
      : await runQStashChaos(settings, database, fileOf('./qstash/application.js'));
  console.log(describeReport(report));
  const failed = failedChecks(report);
  if (failed.length > 0) {
    console.error(`FAILED with seed ${seed}: ${failed.join('; ')}`);
    process.exitCode = 1;
  }
} finally {
  await database.drop();
}

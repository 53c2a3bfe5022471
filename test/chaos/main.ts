import { fileURLToPath } from 'node:url';

import { readArguments } from './arguments.js';
import { runChaos } from './chaos.js';
import { openDatabase } from './database.js';
import { describeReport, failedChecks } from './report.js';

const settings = readArguments(process.argv.slice(2));
console.log(
  `seed ${settings.seed}: ${settings.runs} runs, ${settings.workers} workers, ${settings.seconds} s of faults (npm run test:chaos -- --seed ${settings.seed})`,
);
const database = await openDatabase();
const interrupted = (): void => void database.drop().finally(() => process.exit(1));
process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
try {
  const report = await runChaos(settings, database, fileURLToPath(new URL('./worker.js', import.meta.url)));
  console.log(describeReport(report));
  const failed = failedChecks(report);
  if (failed.length > 0) {
    console.error(`FAILED with seed ${settings.seed}: ${failed.join('; ')}`);
    process.exitCode = 1;
  }
} finally {
  await database.drop();
}

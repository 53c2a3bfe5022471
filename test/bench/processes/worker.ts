import { startAsInstalled, type BenchApplication } from '../application.js';
import { endWithParent, nextQuestion, tellParent } from './child.js';

/** Answers of this process: milliseconds of CPU time that it has used so far. */
let application: BenchApplication | undefined;

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

endWithParent();
for (;;) {
  const question = await nextQuestion();
  if (question === 'close') {
    await application?.close();
    application = undefined;
  } else if (question !== 'cpu') {
    application = await startAsInstalled(question);
  }
  tellParent(cpuMs());
}

import { Test } from '@nestjs/testing';

import { WorkflowClient, WorkflowModule } from '../../src/index.js';

/** An application that boots once it is told to, and says what became of it. */
async function main(): Promise<void> {
  process.stdout.write('ready\n');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  const module = await Test.createTestingModule({ imports: [WorkflowModule.forRoot({})] }).compile();
  await module.init();
  const { runId } = await module.get(WorkflowClient).start('nobody executes it');
  await module.close();
  process.stdout.write(`started ${runId}\n`);
  process.stdin.destroy();
}

main().catch((error: unknown) => {
  process.stdout.write(`failed ${String(error)}\n`);
  process.exitCode = 1;
  process.stdin.destroy();
});

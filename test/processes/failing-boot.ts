import { Injectable, Module, type OnApplicationBootstrap } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { Workflow, WorkflowModule } from '../../src/index.js';

@Workflow({ name: 'echo' })
class EchoWorkflow {
  async run(input: unknown): Promise<unknown> {
    return input;
  }
}

@Injectable()
class Broken implements OnApplicationBootstrap {
  onApplicationBootstrap(): void {
    throw new Error('broken');
  }
}

@Module({
  imports: [WorkflowModule.forRoot(process.argv[2] === 'context' ? { worker: {} } : {})],
  providers: [EchoWorkflow, Broken],
})
class AppModule {}

/**
 * Boots an application that fails for a reason outside its workflows. The caller does not end the
 * process.
 */
async function main(): Promise<void> {
  const options = { abortOnError: false, logger: false } as const;
  if (process.argv[2] === 'context') await NestFactory.createApplicationContext(AppModule, options);
  else await (await NestFactory.create(AppModule, options)).listen(0);
}

main().catch((error: unknown) => {
  process.stdout.write(`failed ${(error as Error).message}\n`);
  process.exitCode = 3;
  process.stdin.destroy();
});

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';

import { WorkflowModule, type QStashOptions, type WorkerOptions } from '../../src/index.js';
import { configured } from '../conformance/configured.js';
import { countIn, WORKFLOWS } from '../conformance/workflows.js';
import { onePass } from '../support/one-pass.js';

const { url, worker, qstash } = JSON.parse(process.env['CONFORMANCE_SETTINGS']!) as {
  url: string;
  worker: WorkerOptions;
  qstash?: QStashOptions;
};
const pool = new pg.Pool({ connectionString: url, max: 4 });
pool.on('error', () => undefined);
countIn(pool);

@Module({
  imports: [WorkflowModule.forRoot({ ...configured(), ...(qstash ? { qstash } : {}), connection: { url }, worker: onePass(worker) })],
  providers: WORKFLOWS,
})
class ConformanceModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(ConformanceModule, { logger: ['error'], abortOnError: false, rawBody: true });
  if (qstash) await app.listen(0, '127.0.0.1');
  else await app.init();
  process.stdout.write(`ready ${qstash ? await app.getUrl() : ''}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});

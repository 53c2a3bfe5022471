import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';

import { WorkflowModule, type WorkerModuleOptions } from '../../src/index.js';
import { configured } from '../conformance/configured.js';
import { countIn, WORKFLOWS } from '../conformance/workflows.js';

const { url, worker } = JSON.parse(process.env['CONFORMANCE_SETTINGS']!) as { url: string; worker: WorkerModuleOptions };
const pool = new pg.Pool({ connectionString: url, max: 4 });
pool.on('error', () => undefined);
countIn(pool);

@Module({ imports: [WorkflowModule.forRoot({ ...configured(), connection: { url }, worker })], providers: WORKFLOWS })
class ConformanceModule {}

async function main(): Promise<void> {
  await NestFactory.createApplicationContext(ConformanceModule, { logger: ['error'], abortOnError: false });
  process.stdout.write('ready\n');
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});

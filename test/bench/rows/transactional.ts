import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';
import type { DataSource } from 'typeorm';
import type { Bench } from '../bench.js';
import { median, pairedRatio } from '../statistics.js';
import { Entry, ThreeTransactions } from '../transactional-workflow.js';

/** Units of three transactions that are under way at any time. */
const IN_FLIGHT = 200;

@Module({})
class TransactionalModule {}

/**
 * Runs of three transactional steps, each of which writes one row, over the same three writes in
 * plain transactions of TypeORM. Both use one DataSource with a pool of ten connections, in one
 * process, in turn.
 */
export async function transactional({ server, quick, say }: Bench) {
  const database = await server.createDatabase();
  const imports = [
    TypeOrmModule.forRoot({ type: 'postgres', url: database.url, entities: [Entry], synchronize: true }),
    WorkflowModule.forRoot({ worker: { verifyReplay: 'never' } }),
  ];
  const module = { module: TransactionalModule, imports, providers: [ThreeTransactions] };
  const context = await NestFactory.createApplicationContext(module, { logger: ['error'], abortOnError: false });
  const client = context.get(WorkflowClient);
  const dataSource = context.get<DataSource>(getDataSourceToken());
  let unit = 0;
  const viaSteps = async (): Promise<void> => {
    const key = `run ${++unit}`;
    await (await client.start(ThreeTransactions, { n: unit, key })).result();
  };
  const plainly = async (): Promise<void> => {
    const key = `plain ${++unit}`;
    for (let step = 0; step < 3; step++)
      await dataSource.transaction((manager) => manager.insert(Entry, { id: `${key} ${step}`, n: unit }));
  };
  try {
    const units = quick ? 1_500 : 5_000;
    const rounds = { steps: [] as number[], plain: [] as number[] };
    // The first round warms the process up.
    for (let round = 0; round <= (quick ? 5 : 9); round++) {
      await server.checkpoint();
      const plain = await perSecond(plainly, units);
      const steps = await perSecond(viaSteps, units);
      say(`transactional: steps ${steps.toFixed(0)}, plain ${plain.toFixed(0)} runs/s`);
      if (round === 0) continue;
      rounds.steps.push(steps);
      rounds.plain.push(plain);
    }
    return {
      transactional: {
        runsPerSecond: median(rounds.steps),
        plainPerSecond: median(rounds.plain),
        perPlain: pairedRatio(rounds.steps, rounds.plain),
        rounds,
      },
    };
  } finally {
    await context.close();
    await database.drop();
  }
}

async function perSecond(one: () => Promise<void>, units: number): Promise<number> {
  let left = units;
  const began = performance.now();
  const lane = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return units / ((performance.now() - began) / 1_000);
}

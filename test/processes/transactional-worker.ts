import { Module, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';

import { currentManager, currentStep, Step, Workflow, WorkflowModule, type WorkerOptions } from '../../src/index.js';
import { onePass } from '../support/one-pass.js';

/** Settings that the test passes to this process. */
interface Settings {
  /** The URL of the application's DataSource, perhaps that of a proxy. */
  url: string;
  /** The URL of the same database without the proxy, which the module uses. */
  countUrl: string;
  worker?: WorkerOptions;
}

const settings = JSON.parse(process.env['FAULT_SETTINGS']!) as Settings;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Each step writes one row of a ledger. */
@Workflow({ name: 'ledger' })
class LedgerWorkflow {
  async run(steps: number): Promise<number> {
    let sum = 0;
    for (let index = 1; index <= steps; index++) sum += await this.book(index);
    return sum;
  }

  @Step({ transactional: true })
  async book(amount: number): Promise<number> {
    const { runId, stepKey } = currentStep();
    say(`body ${runId}/${stepKey}`);
    await currentManager().query('INSERT INTO ledger (run_id, step_key, pid) VALUES ($1, $2, $3)', [runId, stepKey, process.pid]);
    return amount;
  }
}

const logger: LoggerService = {
  log: () => undefined,
  warn: (message: string) => say(`WARN ${message}`),
  error: (message: string, ...rest: unknown[]) => say(`ERROR ${message} ${rest.map(String).join(' ')}`),
};

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url: settings.url, extra: { max: 4 }, retryAttempts: 1 }),
    WorkflowModule.forRoot({ connection: { url: settings.countUrl }, worker: onePass(settings.worker) }),
  ],
  providers: [LedgerWorkflow],
})
class TransactionalModule {}

process.on('unhandledRejection', (error) => say(`UNHANDLED ${String(error)}`));

NestFactory.createApplicationContext(TransactionalModule, { logger, abortOnError: false }).then(
  () => say('ready'),
  (error: unknown) => {
    say(`ERROR boot: ${String(error)}`);
    process.exit(1);
  },
);

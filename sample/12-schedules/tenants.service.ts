import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { WorkflowClient } from 'nestjs-durable';
import { DataSource } from 'typeorm';

import { SCHEMA } from './database.js';
import { ReportWorkflow } from './report.workflow.js';

export interface Tenant {
  id: string;
  timezone: string;
}

/** Tenants, each with a nightly report in its own time zone. */
@Injectable()
export class TenantsService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly client: WorkflowClient,
  ) {}

  /** Adds a tenant and its schedule in one transaction. */
  async add({ id, timezone }: Tenant): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      await manager.query(`INSERT INTO ${SCHEMA}.tenants (id, timezone) VALUES ($1, $2)`, [id, timezone]);
      await this.client.schedules.create(`report-${id}`, {
        workflow: ReportWorkflow,
        cron: '30 2 * * *',
        timezone,
        input: { tenant: id, timezone },
        tags: { tenant: id },
        catchUp: 'all',
        manager,
      });
    });
  }
}

import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { OnRunEvent, type RunEventOf } from 'nestjs-durable';
import { Column, Entity, PrimaryColumn, Repository } from 'typeorm';

import { SCHEMA } from './database.js';

/** One row for each failed run, for the engineer on call. */
@Entity({ schema: SCHEMA, name: 'incidents' })
export class Incident {
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  @Column({ type: 'text' })
  workflow!: string;

  @Column({ type: 'text' })
  message!: string;
}

@Injectable()
export class IncidentListener {
  constructor(@InjectRepository(Incident) private readonly incidents: Repository<Incident>) {}

  /**
   * Writes the failure to the application's table. A listener is called at least once, so a second
   * call for the same run must do no harm: `upsert` sees to that.
   */
  @OnRunEvent('run.failed')
  async onFailed({ runId, workflow, error }: RunEventOf<'run.failed'>): Promise<void> {
    await this.incidents.upsert({ runId, workflow, message: error.message }, ['runId']);
  }
}

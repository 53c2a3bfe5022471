import type { DynamicModule, Type } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { BOOKINGS } from './bookings.js';
import { TRANSFERS } from './transfers.js';
import { WORKFLOWS } from './workflows.js';

/** All workflows of the chaos. */
export const WORKLOAD: Type[] = [...WORKFLOWS, ...BOOKINGS, ...TRANSFERS];

/** The application's DataSource, on which the transactional steps are executed. */
export const bankOf = (url: string): DynamicModule =>
  TypeOrmModule.forRoot({
    type: 'postgres',
    url,
    applicationName: 'chaos-bank',
    // A process that cannot connect while it boots is replaced.
    retryAttempts: 1,
    extra: { max: 3, connectionTimeoutMillis: 3_000 },
  });

import type { DynamicModule, Type } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { BOOKINGS } from './bookings.js';
import { TRANSFERS } from './transfers.js';
import { WORKFLOWS } from './workflows.js';

/** All workflows of the chaos test. */
export const WORKLOAD: Type[] = [...WORKFLOWS, ...BOOKINGS, ...TRANSFERS];

/** The application's DataSource, on which the transactional steps are executed. */
export const bankOf = (url: string): DynamicModule =>
  TypeOrmModule.forRoot({
    type: 'postgres',
    url,
    applicationName: 'chaos-bank',
    // The fleet replaces a process that cannot connect at boot, so one attempt is enough.
    retryAttempts: 1,
    extra: { max: 3, connectionTimeoutMillis: 3_000 },
  });

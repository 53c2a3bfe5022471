import type { QStashEnvironment } from 'nestjs-durable/testing';

import type { Workload } from '../arguments.js';

/** Settings that the chaos passes to an application process in its environment. */
export interface ApplicationSettings {
  readonly seed: number;
  readonly workload: Workload;
  readonly transport: 'qstash' | 'both';
  readonly url: string;
  readonly qstash: QStashEnvironment;
  /** The URL that QStash calls: the front door of all processes. */
  readonly targetUrl: string;
}

/** The environment's variable with the settings, as JSON. */
export const APPLICATION_VARIABLE = 'CHAOS_APPLICATION';

/** Short, so that what a process had is found while somebody watches. */
export const SESSION_TTL_MS = 2_000;

/** The first thing that an application process says. */
export interface Listening {
  readonly kind: 'listening';
  readonly port: number;
}

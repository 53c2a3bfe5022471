import type { StartOptions } from 'nestjs-durable';

import type { Workload } from './arguments.js';
import type { CallInput, ShapeInput } from './shapes.js';

/** Settings that the chaos passes to a worker process in its environment. */
export interface ChaosWorkerSettings {
  /** The URL to which the module connects, perhaps that of a proxy. */
  readonly url: string;
  /** The URL of the database that counts bodies. */
  readonly countUrl: string;
  readonly workload: Workload;
}

/** The environment's variable with the settings, as JSON. */
export const SETTINGS_VARIABLE = 'CHAOS_WORKER';

export interface StartRequest {
  readonly kind: 'start';
  /** Names the answer. */
  readonly id: string;
  readonly name: string;
  readonly input: ShapeInput | CallInput;
  readonly options: Omit<StartOptions, 'manager'>;
}

/** Requests of the chaos to a worker process. */
export type WorkerRequest = StartRequest | { readonly kind: 'memory' };

/** Messages of a worker process. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'started'; readonly id: string; readonly runId: string }
  | { readonly kind: 'refused'; readonly id: string; readonly error: string }
  /** After a garbage collection, in bytes. */
  | { readonly kind: 'memory'; readonly heapUsed: number };

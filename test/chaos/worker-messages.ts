import type { ShapeInput } from './shapes.js';

/** What the chaos gives a worker process in its environment. */
export interface ChaosWorkerSettings {
  /** Where the module connects: perhaps through a proxy. */
  readonly url: string;
  /** Where bodies are counted. */
  readonly countUrl: string;
}

/** The environment's variable with the settings, as JSON. */
export const SETTINGS_VARIABLE = 'CHAOS_WORKER';

export interface StartRequest {
  readonly kind: 'start';
  readonly id: string;
  readonly name: string;
  readonly input: ShapeInput;
  readonly delayMs: number;
}

/** What the chaos asks of a worker process. */
export type WorkerRequest = StartRequest | { readonly kind: 'memory' };

/** What a worker process says. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'started'; readonly id: string }
  | { readonly kind: 'refused'; readonly id: string; readonly error: string }
  /** After a garbage collection, in bytes. */
  | { readonly kind: 'memory'; readonly heapUsed: number };

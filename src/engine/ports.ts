import type { Failure } from '../core/failure.js';
import type { Payloads } from '../core/payloads.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { OpenWait, StepRecord } from '../core/step.js';
import type { RunEvent } from '../core/transition.js';
import type { WorkflowContext } from './workflow-context.js';

/** The code of a workflow, ready to be executed. */
export interface WorkflowCode {
  readonly invoke: (input: unknown, context: WorkflowContext) => Promise<unknown>;
  /** What the application wants around the bodies of methods with `@Step`. */
  readonly surroundings?: StepSurroundings;
}

export interface StepSurroundings {
  /** Executes the body: `method` called on `target`, within what surrounds it. */
  execute(target: object, method: Function, name: string, args: readonly unknown[]): Promise<unknown>;
  /** What surrounds the body has let it begin. */
  began(step: object): void;
}

/** What a pass's own code may depend on. */
export interface StartedRun {
  readonly runId: string;
  readonly input: unknown;
}

/** Makes the code of one pass, where a workflow wants an instance for each. */
export interface CodeMaker {
  make(run: StartedRun): Promise<WorkflowCode>;
  /** It could not be made. @returns milliseconds until it is tried again */
  failed(runId: string, error: unknown): number;
}

/** A workflow as the engine needs it: how to identify it and how to run it. */
export type WorkflowDefinition = WorkflowIdentity & (WorkflowCode | { readonly maker: CodeMaker });

interface WorkflowIdentity {
  readonly name: string;
  readonly version: number;
  readonly queue: string;
  /** Steps of the workflow's own class have the method's name alone as their key. */
  readonly owns: (target: unknown) => boolean;
  readonly retry: RetryPolicy;
  readonly stepTimeoutMs: number;
}

/** How the workflow function ended. Payloads are text as it is stored. */
export type PassOutcome =
  | { readonly status: 'completed'; readonly output: string }
  | { readonly status: 'failed'; readonly error: string; readonly failure: Failure }
  | { readonly status: 'cancelled'; readonly error: string };

/** Why a pass could not go on. Nothing more comes from it. */
export type PassFault =
  /** Today's code does not fit the history, or cannot read it: the run waits for another deployment. */
  | { readonly kind: 'mismatch'; readonly error: Error }
  /** A result that the workflow saw already could not be stored: another pass must start from what is stored. */
  | { readonly kind: 'restart' };

/**
 * What a pass needs from the floor above. Everything handed over is written in the order in which it is handed over; `durable` is
 * called once it is committed, `refused` when the database will not have it.
 */
export interface PassPort {
  record(step: StepRecord, closesWait: boolean, takes: string | null, durable: () => void, refused: (error: Error) => void): void;
  openWait(wait: OpenWait, event: RunEvent | null, durable: () => void): void;
  /** `leftovers` tells whether waits or messages of the run may still be recorded. */
  ended(outcome: PassOutcome, leftovers: 'none' | 'some'): void;
  faulted(fault: PassFault): void;
  /** Nothing is active but waits. `wakeAt` is when the first of them is due; null when none is. */
  idle(wakeAt: number): void;
  /** Something is active again. */
  busy(): void;
}

/** What the engine takes from its surroundings. */
export interface EngineSettings {
  readonly payloads: Payloads;
  readonly cancelGraceMs: number;
  /** How long a replay waits for a call that came out of ordinary I/O when it was recorded. */
  readonly replayStallMs: number;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly now: () => number;
  /**
   * Whether this process has lately been told that its runs are its own. After a freeze it has not: others may have taken them over, and no body
   * begins before it knows.
   */
  readonly isSure: () => boolean;
}

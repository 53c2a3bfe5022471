import { setTimeout as sleep } from 'node:timers/promises';

import { Injectable } from '@nestjs/common';
import { currentStep } from 'nestjs-durable';
import { Subject } from 'rxjs';

/** A change in a step's body, for the output of the sample. */
export interface BodyEvent {
  runId: string;
  stepKey: string;
  attempt: number;
  state: 'begun' | 'done' | 'failed';
  note: string;
}

/**
 * Stands for card processors, warehouses and carriers. It takes time, refuses now and then, and
 * reports what happens.
 */
@Injectable()
export class OutsideWorld {
  readonly events = new Subject<BodyEvent>();

  async request(note: string, ms: number, refusal?: string): Promise<void> {
    const { runId, stepKey, attempt, abortSignal } = currentStep();
    const report = (state: BodyEvent['state'], what: string): void => this.events.next({ runId, stepKey, attempt, state, note: what });
    report('begun', note);
    await sleep(ms, undefined, { signal: abortSignal });
    report(refusal === undefined ? 'done' : 'failed', refusal ?? note);
    if (refusal !== undefined) throw new Error(refusal);
  }
}

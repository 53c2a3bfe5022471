import { setTimeout as sleep } from 'node:timers/promises';

import { Injectable } from '@nestjs/common';
import { currentStep } from 'nestjs-durable';
import { Subject } from 'rxjs';

/** What the body of a step does, for those who watch. */
export interface BodyEvent {
  runId: string;
  stepKey: string;
  attempt: number;
  state: 'begun' | 'done' | 'failed';
  note: string;
}

/** Stands for card processors, warehouses and carriers: takes its time, refuses now and then, and tells what is going on. */
@Injectable()
export class OutsideWorld {
  readonly events = new Subject<BodyEvent>();

  async request(note: string, ms: number, refusal?: string): Promise<void> {
    const { runId, stepKey, attempt, abortSignal } = currentStep();
    const tell = (state: BodyEvent['state'], what: string): void => this.events.next({ runId, stepKey, attempt, state, note: what });
    tell('begun', note);
    await sleep(ms, undefined, { signal: abortSignal });
    tell(refusal === undefined ? 'done' : 'failed', refusal ?? note);
    if (refusal !== undefined) throw new Error(refusal);
  }
}

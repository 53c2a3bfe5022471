import type { StepRecord } from '../core/step.js';
import { patchKey } from './step-keys.js';

/** What patches need of their pass. */
interface PatchDependencies {
  /** The record of that key, if the run has one. */
  recorded(stepKey: string): StepRecord | undefined;
  /** Whether the code is past everything that an earlier pass came to. */
  readonly isCaughtUp: boolean;
  enterPatch(stepKey: string): void;
}

/** Which changes of the code a run takes part in: those that it came to for the first time with the change in place. */
export class Patches {
  private readonly known = new Map<string, boolean>();

  constructor(private readonly pass: PatchDependencies) {}

  isPatched(id: string): boolean {
    const known = this.known.get(id);
    if (known !== undefined) return known;
    const stepKey = patchKey(id);
    const isRecorded = this.pass.recorded(stepKey) !== undefined;
    const isPatched = isRecorded || this.pass.isCaughtUp;
    if (isPatched && !isRecorded) this.pass.enterPatch(stepKey);
    this.known.set(id, isPatched);
    return isPatched;
  }
}

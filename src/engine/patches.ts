import { checkText } from '../core/ids.js';
import { patchKey } from '../core/step-key-format.js';
import type { PassRecords } from './pass-records.js';
import type { Replay } from './replay.js';

/**
 * Decides for `ctx.patched` which code changes a run uses. A run uses a change that was deployed
 * when the run first reached the `patched` call.
 */
export class Patches {
  private readonly known = new Map<string, boolean>();

  constructor(
    private readonly replay: Replay,
    private readonly records: PassRecords,
    private readonly calls: { readonly isCaughtUp: boolean },
  ) {}

  isPatched(id: string): boolean {
    const known = this.known.get(id);
    if (known !== undefined) return known;
    const stepKey = patchKey(checkText(id, 'id of the patch'));
    const isRecorded = this.replay.call(stepKey) !== undefined;
    const isPatched = isRecorded || this.calls.isCaughtUp;
    if (isPatched && !isRecorded) this.records.mark('patch', stepKey);
    this.known.set(id, isPatched);
    return isPatched;
  }
}

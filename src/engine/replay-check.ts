import type { OpenWait, StepKind, StepRecord } from '../core/step.js';
import type { EngineSettings, PassOutcome, PassRun, WorkflowDefinition } from './ports.js';
import type { Call } from './call.js';

/**
 * Largest number of bytes of results that are kept for the check. The results stay in memory until
 * the run ends.
 */
const MAX_VERIFIED_BYTES = 8 << 20;

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
  readonly calls: { readonly byKey: ReadonlyMap<string, Call> };
}

/**
 * Keeps the results that the workflow's code got in one pass. When the code has ended, checks that
 * a replay with these results does the same.
 */
export class ReplayCheck {
  /** Results in the order of their delivery; absent once they were too large to keep. */
  private results: StepRecord[] | undefined = [];
  private bytes = 0;

  constructor(
    private readonly parts: Parts,
    /** Waits that were open when the pass began. */
    private readonly waits: readonly OpenWait[],
  ) {}

  /** Keeps a result. A run with too many bytes of results is not checked. */
  keep(record: StepRecord): void {
    if (!this.results) return;
    this.bytes += (record.output?.length ?? 0) + (record.error?.length ?? 0);
    if (this.bytes > MAX_VERIFIED_BYTES) this.results = undefined;
    else this.results.push(record);
  }

  /**
   * True when a replay must behave the same, because the code acted on recorded results alone and
   * never on ordinary I/O.
   */
  get isPossible(): boolean {
    return this.results !== undefined && this.results.every(isRepeatable) && [...this.parts.calls.byKey.values()].every(isRepeatable);
  }

  /** Replays the run. @returns the first difference, if there is one */
  async findDifference(outcome: PassOutcome): Promise<Error | undefined> {
    const { run, definition, settings, calls } = this.parts;
    const history = { steps: this.results!, waits: this.waits };
    return settings.verifyReplay?.({ run, definition, history, calls: calls.byKey, outcome }, settings);
  }
}

function isRepeatable({ kind, calledAfterIo }: { kind: StepKind; calledAfterIo: boolean }): boolean {
  return kind === 'patch' || (kind !== 'cancel' && !calledAfterIo);
}

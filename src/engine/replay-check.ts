import type { OpenWait, StepKind, StepRecord } from '../core/step.js';
import type { EngineSettings, PassOutcome, PassRun, WorkflowDefinition } from './ports.js';
import type { Call } from './call.js';

/** Bytes of results that are kept for the check. More would fill the heap until the run ends. */
const MAX_VERIFIED_BYTES = 8 << 20;

/** The parts of a pass that this one uses. */
interface Parts {
  readonly run: PassRun;
  readonly definition: WorkflowDefinition;
  readonly settings: EngineSettings;
  readonly calls: { readonly byKey: ReadonlyMap<string, Call> };
}

/** Keeps the results that the code of a pass got, and compares a replay with them at the end. */
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
   * True when a replay must do the same: the code acted on recorded results alone, never on
   * ordinary I/O.
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

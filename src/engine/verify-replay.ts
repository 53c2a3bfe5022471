import { clearTimeout, setTimeout } from 'node:timers';

import { RunEndedError, ReplayDifferenceError, type NonDeterminismError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';
import { Arguments } from '../core/serializer/arguments.js';
import type { StepRecord } from '../core/step.js';
import type { Call } from './call.js';
import { Pass } from './pass.js';
import type { EngineSettings, PassOutcome, PassPort, Recording } from './ports.js';
import { differs } from './replay.js';

/** How long a replay is waited for that stands still: it may wait for ordinary I/O, and then nothing can be said of it. */
const PATIENCE_MS = 2_000;

/** What came of a replay. */
type Verdict = { readonly stepKey: string | null; readonly detail: string } | 'same' | 'unknown';

/**
 * Executes a workflow once more from what is recorded of a run, and compares: which steps it calls, in which order and with which arguments, and how it ends. No body is
 * executed and nothing is written.
 *
 * Finds what the next worker would stumble over: variables of `run` that the function of a step writes, `Date.now()`, `Math.random()`, code that was changed. Says nothing where ordinary
 * I/O in `run` may be the cause, because that takes another time in each pass.
 *
 * @returns an error that names the first difference
 */
export async function verifyReplay(recording: Recording, settings: EngineSettings): Promise<ReplayDifferenceError | undefined> {
  const verdict = await new Promise<Verdict>((resolve) => new ReplayedPass(recording, settings, resolve).start());
  if (typeof verdict === 'string') return undefined;
  return new ReplayDifferenceError(recording.run.id, verdict.stepKey, verdict.detail);
}

/** A pass that gets recorded results alone. */
class ReplayedPass extends Pass {
  private patience: NodeJS.Timeout | undefined;

  constructor(
    private readonly recording: Recording,
    settings: EngineSettings,
    private readonly decided: (verdict: Verdict) => void,
  ) {
    const { run, definition, history } = recording;
    const decide = (verdict: Verdict): void => this.decide(verdict);
    const port = silentPort(
      (verdict) => decide(this.isFollowing ? verdict : 'unknown'),
      (outcome) => decide(this.compare(outcome)),
    );
    const own = { ...settings, verifyReplay: undefined, isDevelopment: false, replayStallMs: PATIENCE_MS };
    super({ ...run, deadlineAt: null }, definition, history, port, own);
    this.hold();
  }

  protected override made(call: Call, record: StepRecord | undefined): void {
    if (call.calledAfterIo) return this.decide('unknown');
    const { calls } = this.recording;
    const before = record ?? calls?.get(call.stepKey);
    if (!before) {
      if (calls) this.decide({ stepKey: call.stepKey, detail: 'run() calls it, and did not call it before' });
      return;
    }
    const detail = differs(before, call);
    if (detail) this.decide({ stepKey: call.stepKey, detail });
  }

  override missed(step: StepRecord): void {
    const { stepKey } = step;
    if (this.endedInTurn) return this.decide({ stepKey, detail: 'run() ends without calling it, and called it before' });
    const isAstray = !this.recording.calls && this.wentAstray(step.calledAfter);
    this.decide(isAstray ? { stepKey, detail: 'run() calls another step in its place' } : 'unknown');
  }

  override delivered(): void {
    super.delivered();
    if (!this.isClosed && !this.lane.isTurning) this.patience ??= setTimeout(() => this.decide('unknown'), PATIENCE_MS);
  }

  /** Whether the code has ended at once after what it got, and not out of ordinary I/O. */
  private get isFollowing(): boolean {
    return this.endedInTurn !== false;
  }

  private compare(outcome: PassOutcome): Verdict {
    const verdict = this.compareAll(outcome);
    return verdict === 'same' || this.isFollowing ? verdict : 'unknown';
  }

  private compareAll(outcome: PassOutcome): Verdict {
    const { outcome: before, calls } = this.recording;
    for (const [stepKey] of calls ?? []) {
      if (!this.calls.has(stepKey)) return { stepKey, detail: 'run() does not call it, and called it before' };
    }
    if (!before) return 'same';
    const detail = differenceOf(before, outcome, this.settings.payloads);
    return detail === undefined ? 'same' : { stepKey: null, detail };
  }

  private decide(verdict: Verdict): void {
    clearTimeout(this.patience);
    this.close(new RunEndedError(this.run.id));
    this.decided(verdict);
  }
}

/** What is not the same about two ends of a run. */
function differenceOf(before: PassOutcome, now: PassOutcome, payloads: Payloads): string | undefined {
  if (before.status === 'completed' && now.status === 'completed') {
    if (before.continuedAs?.name !== now.continuedAs?.name) return 'run() goes on as another workflow';
    const [was, is] = before.continuedAs ? [before.continuedAs.input, now.continuedAs!.input] : [before.output, now.output];
    if (was === is || fingerprintOf(was, payloads) === fingerprintOf(is, payloads)) return undefined;
    return before.continuedAs ? 'the input of the run that goes on is another' : 'the output is another';
  }
  const [was, is] = [describeEnd(before, payloads), describeEnd(now, payloads)];
  return was === is ? undefined : `run() ${was}, and ${is} when it is replayed`;
}

function fingerprintOf(stored: string, payloads: Payloads): number | null {
  return Arguments.of([payloads.decode(stored, 'output')], payloads.maxBytes).fingerprint;
}

function describeEnd(outcome: PassOutcome, payloads: Payloads): string {
  if (outcome.status === 'completed') return 'completed';
  const { name, message } = payloads.showError(outcome.error);
  return `${outcome.status} with ${name}: ${message}`;
}

function silentPort(decide: (verdict: Verdict) => void, ended: (outcome: PassOutcome) => void): PassPort {
  const nothing = (): void => undefined;
  const never = new Promise<never>(() => undefined);
  return {
    record: nothing,
    openWait: nothing,
    openChild: nothing,
    closeWait: nothing,
    dropMessage: nothing,
    cancelChild: nothing,
    setState: nothing,
    warn: nothing,
    busy: nothing,
    startDetached: () => never,
    createHook: () => never,
    ended,
    faulted: (fault) => {
      if (fault.kind !== 'mismatch') return decide('unknown');
      const { stepKey, detail } = fault.error as NonDeterminismError;
      decide({ stepKey, detail });
    },
    // The code of a workflow with an instance for each pass could not be made.
    idle: () => decide('unknown'),
  };
}

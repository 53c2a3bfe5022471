import { RunEndedError, ReplayDifferenceError, type NonDeterminismError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import { Arguments } from '../core/serializer/arguments.js';
import type { StepRecord } from '../core/step.js';
import type { Call } from './call.js';
import { IoWatch } from './io-watch.js';
import { Pass } from './pass.js';
import type { PassObserver } from './pass-observer.js';
import type { EngineSettings, PassOutcome, PassPort, Recording } from './ports.js';
import { differs } from './replay.js';

/**
 * Milliseconds that a replay may make no progress before the check ends. The code may be waiting
 * for ordinary I/O, and then the check proves nothing.
 */
const STILL_MS = 2_000;

const CALLED_NOW = 'run() calls it, and did not call it before';
const CALLED_BEFORE = 'run() does not call it, and called it before';

/** Result of a replay: the first difference, no difference, or no proof. */
type Verdict = { readonly stepKey: string | null; readonly detail: string } | 'same' | 'unknown';

/**
 * Executes a workflow again with the recorded results of a run. Compares which steps are called, in
 * which order and with which arguments, and how the run ends. No step body is executed and nothing
 * is written.
 *
 * The check finds code that would block the run in its next pass: uses of `Date.now()` and
 * `Math.random()`, changed code, and steps that change variables of `run`. The check reports no
 * difference that ordinary I/O in `run` may have caused, because I/O takes a different time in each
 * pass.
 *
 * @returns an error that names the first difference; undefined when nothing differs, or when
 * ordinary I/O may have caused the difference
 */
export async function verifyReplay(recording: Recording, settings: EngineSettings): Promise<ReplayDifferenceError | undefined> {
  const verdict = await new Promise<Verdict>((resolve) => new ReplayComparison(recording, settings, resolve).start());
  if (typeof verdict === 'string') return undefined;
  return new ReplayDifferenceError(recording.run.id, verdict.stepKey, verdict.detail);
}

/** Executes a pass that gets only recorded results, and compares the pass with the recording. */
class ReplayComparison implements PassObserver {
  private readonly pass: Pass;
  private readonly watch = new IoWatch();
  private readonly calledKeys = new Set<string>();
  private stillTimer: NodeJS.Timeout | undefined;
  /** First call for which the recording has neither a result nor an open wait. */
  private firstNew: Call | undefined;
  /** The first such call that the recorded stop of the run did not interrupt. */
  private firstUnexplained: Call | undefined;
  /** Record of the stop of the run; undefined when the run was not stopped. */
  private readonly stop: StepRecord | undefined;
  /** Number of results that the code had received before it received the stop. */
  private readonly resultsBeforeStop: number;

  constructor(
    private readonly recording: Recording,
    private readonly settings: EngineSettings,
    private readonly decided: (verdict: Verdict) => void,
  ) {
    const { run, definition, history } = recording;
    const port = silentPort(
      (verdict) => this.decide(verdict),
      (outcome) => this.decide(this.compare(outcome)),
    );
    const own = { ...settings, verifyReplay: undefined, isDevelopment: false, log: () => undefined, replayStallMs: STILL_MS };
    this.pass = new Pass({ ...run, deadlineAt: null }, definition, history, port, own, this);
    this.pass.hold();
    const { steps } = history;
    const place = steps.findIndex(({ kind }) => kind === 'cancel');
    this.stop = steps[place];
    this.resultsBeforeStop = Math.max(place, 0);
  }

  start(): void {
    this.watch.begin(this.pass.handle);
    this.pass.start();
  }

  called(call: Call, record: StepRecord | undefined): void {
    this.calledKeys.add(call.stepKey);
    if (call.calledAfterIo) return this.decide('unknown');
    const { calls } = this.recording;
    const before = record ?? calls?.get(call.stepKey);
    if (!before) {
      if (calls) return this.decide({ stepKey: call.stepKey, detail: CALLED_NOW });
      const isOpen = this.recording.history.waits.some((wait) => wait.stepKey === call.stepKey);
      if (isOpen) return;
      this.firstNew ??= call;
      // The stop has left no record of the calls that it interrupted.
      if (!this.stop || call.calledAfter > this.resultsBeforeStop) this.firstUnexplained ??= call;
      return;
    }
    const detail = differs(before, call);
    if (detail) this.decide({ stepKey: call.stepKey, detail });
  }

  missed({ stepKey, calledAfter }: StepRecord): void {
    const { firstNew, firstUnexplained } = this;
    const instead = firstUnexplained ?? (firstNew?.calledAfter === calledAfter ? firstNew : undefined);
    this.decide(instead ? { stepKey: instead.stepKey, detail: CALLED_NOW } : { stepKey, detail: CALLED_BEFORE });
  }

  stoodStill(): void {
    const verdict = this.whyStill();
    this.stillTimer ??= setTimeout(() => this.decide(verdict), this.watch.sawIo ? STILL_MS : 0);
  }

  /** Explains why the code waits although all recorded results were delivered. */
  private whyStill(): Verdict {
    const { calls, outcome, history } = this.recording;
    if (outcome && this.isGraceUsedUp) return 'same';
    const isNew = this.firstUnexplained ?? this.firstNew;
    if (!calls && isNew !== undefined && outcome) return { stepKey: isNew.stepKey, detail: CALLED_NOW };
    if (calls || outcome) return { stepKey: null, detail: 'run() waits for something that no recorded result causes' };
    // The run has not ended: its code waits for the same as before, or begins its next step.
    const left = history.waits.find(({ stepKey, kind }) => kind !== 'grace' && !this.calledKeys.has(stepKey));
    return left ? { stepKey: left.stepKey, detail: CALLED_BEFORE } : 'same';
  }

  /** True when the run has ended because its time for cleanup was used up. */
  private get isGraceUsedUp(): boolean {
    const { endedAt } = this.recording;
    return this.stop !== undefined && endedAt !== undefined && endedAt - this.stop.finishedAt >= this.settings.cancelGraceMs;
  }

  private compare(outcome: PassOutcome): Verdict {
    const { outcome: before, calls } = this.recording;
    for (const [stepKey] of calls ?? []) {
      if (!this.calledKeys.has(stepKey)) return { stepKey, detail: CALLED_BEFORE };
    }
    if (!before) return 'same';
    const detail = differenceOf(before, outcome, this.settings.payloads);
    return detail === undefined ? 'same' : { stepKey: null, detail };
  }

  /**
   * Reports the verdict. A difference proves nothing when `run` does ordinary I/O. The timing of
   * I/O varies, so the code may act in another order or may still be waiting.
   */
  private decide(verdict: Verdict): void {
    const isProof = this.pass.endedInTurn !== false && this.watch.isReliable && !this.watch.sawIo;
    clearTimeout(this.stillTimer);
    this.watch.end(this.pass.handle);
    this.pass.close(new RunEndedError(this.recording.run.id));
    this.decided(verdict === 'same' || isProof ? verdict : 'unknown');
  }
}

/** Returns the difference between two outcomes of a run, if there is one. */
function differenceOf(before: PassOutcome, now: PassOutcome, payloads: Payloads): string | undefined {
  if (before.status === 'completed' && now.status === 'completed') {
    if (before.continuedAs?.name !== now.continuedAs?.name) return 'run() continues as another workflow';
    const [was, is] = before.continuedAs ? [before.continuedAs.input, now.continuedAs!.input] : [before.output, now.output];
    if (was === is || isSame(was, is, payloads)) return undefined;
    return before.continuedAs ? 'the input of the next run differs' : 'the output differs';
  }
  const [was, is] = [describeEnd(before, payloads), describeEnd(now, payloads)];
  return was === is ? undefined : `run() ${was}, and ${is} when it is replayed`;
}

/** Compares decoded values, because a codec may store the same value in several forms. */
function isSame(was: string, is: string, payloads: Payloads): boolean {
  const fingerprintOf = (stored: string): number | null => Arguments.of([payloads.decode(stored, 'output')], payloads.maxBytes).fingerprint;
  try {
    return fingerprintOf(was) === fingerprintOf(is);
  } catch {
    // The codec cannot read what it wrote, so the outputs cannot be compared. Every reader of the
    // output gets the codec's error.
    return true;
  }
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
    journal: {
      record: nothing,
      openWait: nothing,
      openChild: nothing,
      closeWait: nothing,
      dropMessage: nothing,
      cancelChild: nothing,
      setState: nothing,
      streams: { write: () => Promise.resolve(), flush: () => Promise.resolve(), unchecked: () => undefined },
      startDetached: () => never,
      emit: () => never,
      transact: () => never,
      chunksStored: () => never,
      createHook: () => never,
    },
    attemptFailed: nothing,
    warn: nothing,
    working: nothing,
    slot: { take: () => true, wait: nothing },
    ended,
    faulted: (fault) => {
      if (fault.kind !== 'mismatch') return decide('unknown');
      const { stepKey, detail } = fault.error as NonDeterminismError;
      decide({ stepKey, detail });
    },
    // Called when the workflow's code could not be created, so nothing can be compared.
    idle: () => decide('unknown'),
  };
}

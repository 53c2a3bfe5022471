import { StepFailedError, StepResolvedError } from '../core/errors/index.js';
import { channelOf } from '../core/message-kinds.js';
import { hasEscape, plainStepKey } from '../core/step-key-format.js';
import type { Attempts } from './attempts.js';
import type { Call } from './call.js';
import type { ExternalEvents } from './external-events.js';
import type { Message } from './message.js';
import type { ActivityDelegate, CallResults } from './pass-handle.js';
import type { PassState } from './pass-state.js';
import type { EngineSettings, PassRun } from './ports.js';
import type { Replay } from './replay.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly settings: EngineSettings;
  readonly state: PassState;
  readonly replay: Replay;
  readonly attempts: Attempts;
  readonly events: ExternalEvents;
  readonly calls: { readonly byKey: ReadonlyMap<string, Call> };
  readonly records: CallResults;
  readonly activity: ActivityDelegate;
}

/** Results that an operator has set for steps of a run, with `client.resolveStep`. */
export class OperatorResults {
  /** Keys of the steps for which an operator has set a result, as the operator wrote them. */
  private readonly stepKeys = new Set<string>();

  constructor(private readonly parts: Parts) {}

  /**
   * Receives a result that an operator has set. An open step ends now, and a step that the code has
   * not called yet ends when it is called. When the step already has a result, the message is
   * ignored, and deleted when the run ends.
   */
  receive(stepKey: string, message: Message): void {
    const { replay, events, calls } = this.parts;
    this.stepKeys.add(stepKey);
    events.receive(message);
    const call = calls.byKey.get(stepKey) ?? [...calls.byKey.values()].find((each) => this.keyOf(each.stepKey) === stepKey);
    if (call && !replay.isRecorded(call.stepKey)) this.await(call, stepKey);
  }

  /** Settles a call with an operator's result. @returns false when the operator has set none */
  settle(call: Call): boolean {
    const stepKey = this.keyOf(call.stepKey);
    if (stepKey === undefined) return false;
    this.await(call, stepKey);
    return true;
  }

  /**
   * Finds the key under which an operator has set a result for a step.
   *
   * @returns the step key, or its form without escapes as the application wrote it; undefined when
   * no result was set
   */
  private keyOf(stepKey: string): string | undefined {
    if (this.stepKeys.has(stepKey)) return stepKey;
    if (!hasEscape(stepKey)) return undefined;
    const plain = plainStepKey(stepKey);
    return this.stepKeys.has(plain) ? plain : undefined;
  }

  /** Gives an operator's result to a call, as soon as an event may enter the pass. */
  private await(call: Call, resolvedKey: string): void {
    this.parts.events.listen(channelOf('resolve', resolvedKey), call, { take: (message) => this.apply(call, message) });
    this.parts.activity.update();
  }

  private apply(call: Call, { id, outcome, payload }: Message): void {
    const { run, settings, state, replay, attempts: bodies, records } = this.parts;
    if (call.settled || state.isClosed) return;
    const { stepKey, kind } = call;
    const wait = replay.openWait(stepKey);
    if (!call.hasBegun) call.begin(settings.now(), wait);
    const attempts = Math.max(call.failures, wait?.attempts ?? 0) + (bodies.has(stepKey) ? 1 : 0);
    bodies.abortStep(stepKey, new StepResolvedError(stepKey));
    if (outcome === 'value') return records.settle(call, { output: payload, attempts, takes: id });
    const error = settings.payloads.showError(payload);
    const thrown = kind === 'step' || kind === 'compensation' ? new StepFailedError(stepKey, attempts, error) : error;
    records.settle(call, { error: settings.payloads.encodeError(thrown, run.id), attempts, takes: id });
  }
}

import type { Attempts } from './attempts.js';
import type { Call } from './call.js';
import type { Compensation } from './compensation.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ExternalEvents } from './external-events.js';
import type { PassActivity } from './pass-activity.js';
import type { StopReason } from './pass-state.js';
import type { PassPort } from './ports.js';
import type { Replay } from './replay.js';
import type { Timers } from './timers.js';

/** Other objects of the same pass (pass-parts.ts) that these functions use. */
interface Parts {
  readonly port: PassPort;
  readonly timers: Timers;
  readonly replay: Replay;
  readonly attempts: Attempts;
  readonly gate: DurabilityGate;
  readonly events: ExternalEvents;
  readonly activity: PassActivity;
  readonly compensation: Compensation;
}

/**
 * Rejects all open calls with the reason for the stop, and ends their waits and bodies. A step that
 * has a compensation only gets the abort signal, and its result still counts. Compensations that
 * have begun continue.
 */
export function stopCalls(parts: Parts, calls: ReadonlyMap<string, Call>, error: StopReason): void {
  const { timers, attempts, gate, activity, events, compensation } = parts;
  for (const call of calls.values()) if (!compensation.isOwn(call)) timers.clear(call.stepKey);
  gate.clear();
  activity.clearQueued();
  events.clearWaits();
  attempts.abort(
    () => error,
    (stepKey) => {
      const call = calls.get(stepKey);
      if (call === undefined) return 'abort';
      return call.undo ? 'signal' : compensation.isOwn(call) ? 'leave' : 'abort';
    },
  );
  for (const call of calls.values()) {
    if (call.settled || call.isDetached || compensation.isOwn(call)) continue;
    if (call.undo) call.detach(error);
    else call.reject(error);
    call.onWithdrawn?.();
  }
  compensation.stopped(error);
}

/** Rejects an open call without recording the rejection, and ends its wait and its body. */
export function withdrawCall(parts: Parts, call: Call, reason: unknown): void {
  const { port, timers, attempts, replay, events, activity } = parts;
  timers.clear(call.stepKey);
  events.forget(call);
  if (call.undo) {
    attempts.signalStep(call.stepKey, reason);
    call.detach(reason);
  } else {
    attempts.abortStep(call.stepKey, reason);
    call.reject(reason);
  }
  // The end of a child that continues decides whether the parent must undo the child.
  const keepsWait = call.kind === 'child' && call.undo !== undefined;
  if (call.onWithdrawn) call.onWithdrawn();
  else if (!keepsWait && (call.waitRecorded || replay.openWait(call.stepKey))) port.journal.closeWait(call.stepKey);
  activity.update();
}

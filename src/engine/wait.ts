import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import type { EventSelection, WaitKind } from '../core/step.js';
import type { Call } from './call.js';
import type { Message, MessageValidator, Settlement } from './message.js';
import type { PassHandle } from './pass-handle.js';

/** Wait that ends when a message arrives or a time is reached. */
export interface WaitSpec {
  readonly kind: WaitKind;
  /**
   * Name of the awaited thing, for readers of the run: a signal's name, a hook's token, a child's
   * run id.
   */
  readonly name: string | null;
  /**
   * Computes the time at which the wait ends, by the database's clock; null when only a message
   * ends it. Called once; a later pass reads the recorded time instead.
   */
  readonly wakeAt: () => number | null;
  readonly expired: () => Settlement;
  /** Channel whose messages can end the wait; absent when only a time ends it. */
  readonly channel?: string;
  readonly taken?: (message: Message) => Settlement;
  /**
   * Validates each message before the wait takes it. A refused message is dropped, and the wait
   * continues.
   */
  readonly validate?: MessageValidator;
  /** Computes which events end a wait for an event; absent for other waits. */
  readonly event?: () => EventSelection;
}

/** Begins a wait, or continues a recorded one. */
export function beginWait(pass: PassHandle, call: Call, spec: WaitSpec): void {
  const recorded = pass.recordedWait(call.stepKey);
  call.begin(pass.settings.now(), recorded);
  const wakeAt = recorded ? recorded.wakeAt : spec.wakeAt();
  pass.whenDurable(() => {
    if (call.settled || pass.isClosed) return;
    // A wait that stays open must be recorded, or the next pass would compute its deadline again. A
    // wait whose message has already arrived needs no record. Messages that earlier waits will take
    // are not spare.
    const isHere = spec.channel !== undefined && pass.hasSpareMessage(spec.channel);
    if (!recorded && !isHere) open(pass, call, spec, wakeAt);
    listen(pass, call, spec, wakeAt);
  });
}

function open(pass: PassHandle, call: Call, { kind, name, event }: WaitSpec, wakeAt: number | null): void {
  const wait = { stepKey: call.stepKey, kind, name, wakeAt, attempts: 0, openedAt: call.startedAt };
  pass.openWait(call, event ? { ...wait, event: event() } : wait, null, ignore);
}

/** Ends the call at its wake time or with a message, whichever enters the pass first. */
export function listen(pass: PassHandle, call: Call, spec: WaitSpec, wakeAt: number | null): void {
  const { channel, taken, expired, validate } = spec;
  if (wakeAt !== null) {
    pass.timers.set(call.stepKey, wakeAt, () =>
      pass.offer(() => {
        if (call.settled) return;
        pass.span?.waited(spec.kind, call.stepKey, null);
        pass.results.settle(call, expired());
      }),
    );
  }
  if (channel !== undefined && taken) {
    call.channel = channel;
    const take = (message: Message, validated: Settlement | undefined): void => {
      pass.span?.waited(spec.kind, call.stepKey, message.traceContext ?? null);
      pass.results.settle(call, { ...(validated ?? taken(message)), takes: message.id });
    };
    const refused = (message: Message, refusal: Error): void => {
      pass.dropMessage(call.stepKey, message.id, refusal);
      if (!call.settled && !call.waitRecorded && !pass.isClosed) open(pass, call, spec, wakeAt);
    };
    pass.listen(channel, call, { take, ...(validate ? { validation: { validate, refused } } : {}) });
  }
}

/**
 * Checks a timeout, which is a duration or a moment.
 *
 * @returns a function that computes the time at which the timeout has passed; the function returns
 * null when there is no timeout
 */
export function deadlineOf(pass: PassHandle, timeout: Duration | Date | undefined, argument: string): () => number | null {
  if (timeout === undefined) return () => null;
  if (timeout instanceof Date) {
    const at = toTimestamp(timeout, argument);
    return () => at;
  }
  const ms = toMilliseconds(timeout, argument);
  return () => Math.ceil(pass.settings.now() + ms);
}

function ignore(): void {
  // Nothing has to happen when the wait is durable.
}

import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import type { WaitKind } from '../core/step.js';
import type { Call } from './call.js';
import type { Message, Screen, Settlement } from './message.js';
import type { PassHandle } from './pass-handle.js';

/** An operation that ends from outside: when its time comes, or with a message. */
export interface WaitSpec {
  readonly kind: WaitKind;
  /** What it waits for, for those who look at the run: a signal's name, a hook's token, a child's run id. */
  readonly name: string | null;
  /** When its time comes, by the database's clock; computed once, a later pass finds it recorded. Null: never. */
  readonly wakeAt: () => number | null;
  readonly expired: () => Settlement;
  /** The messages that end it. */
  readonly channel?: string;
  readonly taken?: (message: Message) => Settlement;
  /** Looks at each message before it is taken; what it refuses is dropped, and the wait goes on. */
  readonly screen?: Screen;
}

/** Begins a wait, or takes up the one that is recorded. */
export function beginWait(pass: PassHandle, call: Call, spec: WaitSpec): void {
  const recorded = pass.recordedWait(call.stepKey);
  call.startedAt = recorded?.openedAt ?? Math.floor(pass.settings.now());
  const wakeAt = recorded ? recorded.wakeAt : spec.wakeAt();
  pass.whenDurable(() => {
    if (call.settled || pass.isClosed) return;
    // What has come already is taken without a trace of waiting. Not what an earlier wait takes: this one's deadline would be computed anew in the next pass.
    const isHere = spec.channel !== undefined && pass.hasSpareMessage(spec.channel);
    if (recorded) call.waitRecorded = true;
    else if (!isHere) open(pass, call, spec, wakeAt);
    listen(pass, call, spec, wakeAt);
  });
}

function open(pass: PassHandle, call: Call, { kind, name }: WaitSpec, wakeAt: number | null): void {
  pass.openWait(call, { stepKey: call.stepKey, kind, name, wakeAt, attempts: 0, openedAt: call.startedAt }, null, ignore);
}

/** Ends the call when its time comes or its message does, whichever enters first. */
export function listen(pass: PassHandle, call: Call, spec: WaitSpec, wakeAt: number | null): void {
  const { channel, taken, expired, screen } = spec;
  if (wakeAt !== null) {
    pass.timers.set(call.stepKey, wakeAt, () =>
      pass.offer(() => {
        if (!call.settled) pass.settle(call, expired());
      }),
    );
  }
  if (channel !== undefined && taken) {
    call.channel = channel;
    const take = (message: Message, screened: Settlement | undefined): void =>
      pass.settle(call, { ...(screened ?? taken(message)), takes: message.id });
    const refused = (message: Message, refusal: Error): void => {
      pass.dropMessage(call.stepKey, message.id, refusal);
      if (!call.settled && !call.waitRecorded && !pass.isClosed) open(pass, call, spec, wakeAt);
    };
    pass.listen(channel, call, { take, ...(screen ? { screening: { screen, refused } } : {}) });
  }
}

/** @returns when a timeout given as a duration or a moment is over; null for none */
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
  // That the wait is durable sets nothing off.
}

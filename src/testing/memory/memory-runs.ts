import { fits, type NewEvent } from '../../core/event.js';
import { channelOf } from '../../core/message-kinds.js';
import { ANY_VERSION, type NewRun } from '../../core/run.js';
import { setImmediate, sleep } from '../../core/timers.js';
import type { Message } from '../../engine/message.js';
import type { EngineSettings, PassOutcome, WorkflowDefinition } from '../../engine/ports.js';
import type { ManualClock } from '../../core/manual-clock.js';
import { WorkflowTestError } from '../errors.js';
import { RunningTime } from '../running-time.js';
import { MemoryRun, type OtherRuns } from './memory-run.js';

/** Milliseconds of running time after which a body counts as hanging. Its timeout then passes. */
const HANGS_AFTER_MS = 1_000;

/** Milliseconds of running time without a recorded step, after which a busy run is stuck. */
const STALLED_AFTER_MS = 4_000;

/** Milliseconds of running time that the runs may work without a wait. */
const ENDLESS_AFTER_MS = 30_000;

/** Rounds of the event loop after which the wait for a body uses a timer. */
const EAGER_ROUNDS = 50;

/** Largest number of moves of the clock in one test, including runs that continue one another. */
const MAX_WAKES = 10_000;

/** Message that the test sends to the run under test, at a time of the test's clock. */
export interface TimedMessage {
  readonly at: number;
  readonly channel: string;
  readonly payload: string;
}

/** Event that happens at a time of the test's clock. The payload is JSON text. */
export interface TimedEvent {
  readonly at: number;
  readonly name: string;
  readonly key: string | null;
  readonly payload: string;
}

/** Runs in memory, in virtual time: the run under test, and those that it starts. */
export class MemoryRuns implements OtherRuns {
  private readonly runs = new Map<string, MemoryRun>();
  private sent = 0;
  /** Events that have happened, in their order. */
  private readonly events: (TimedEvent & { readonly seq: string; readonly id?: string })[] = [];
  /** Reason why the test cannot continue. */
  private failure: WorkflowTestError | undefined;

  constructor(
    private readonly definitions: readonly WorkflowDefinition[],
    private readonly settings: EngineSettings,
    private readonly clock: ManualClock,
    private readonly suspends: 'at each wait' | 'never',
  ) {}

  /**
   * Executes a run, and the runs that continue it, to the end. Time jumps to the next due time
   * whenever nothing else is left to do.
   *
   * @throws WorkflowTestError when the run waits for something that never happens
   */
  async execute(start: NewRun, messages: readonly TimedMessage[], events: readonly TimedEvent[] = []): Promise<MemoryRun> {
    const coming = [...events].sort((a, b) => a.at - b.at);
    this.emitDue(coming);
    const unsent = [...messages].sort((a, b) => a.at - b.at);
    this.start(start);
    let run = this.runs.get(start.id)!;
    try {
      for (let wakes = 0; ; wakes++) {
        const hanging = await this.settle();
        for (let next = this.successorOf(run); next; next = this.successorOf(run)) run = next;
        if (run.outcome) return run;
        if (wakes > MAX_WAKES) throw new WorkflowTestError(`run "${run.id}" was woken ${MAX_WAKES} times, and has not ended`);
        if (this.suspends === 'at each wait') for (const each of this.runs.values()) await each.suspend();
        // A run that has received a message during its suspension continues first.
        if ([...this.runs.values()].some((each) => each.isBusy) && hanging.length === 0) continue;
        this.moveOn(run, unsent, coming, hanging);
      }
    } finally {
      for (const each of this.runs.values()) each.close(new WorkflowTestError('the run under test has ended'));
    }
  }

  start(run: NewRun): 'started' | 'taken' {
    if (this.runs.has(run.id)) return 'taken';
    const definition = this.definitionOf(run);
    if (!definition) {
      this.failure ??= new WorkflowTestError(`a run started workflow "${run.name}", which is not among options.providers`);
      return 'started';
    }
    const created = new MemoryRun(run, definition, this.settings, this);
    this.runs.set(run.id, created);
    const startAt = run.startAt ?? this.settings.now() + (run.delayMs ?? 0);
    this.clock.at(startAt, () => created.begin());
    return 'started';
  }

  cancel(runId: string): void {
    this.runs.get(runId)?.cancel();
  }

  ended({ start }: MemoryRun, outcome: PassOutcome): void {
    const { parentRunId, parentStepKey, schedule = null } = start;
    const isAwaited = parentRunId !== undefined && parentStepKey !== undefined && parentStepKey !== null;
    if (outcome.status === 'completed' && outcome.continuedAs) {
      this.start({ ...outcome.continuedAs, schedule, ...(isAwaited ? { parentRunId, parentStepKey } : {}) });
    } else if (isAwaited) {
      const channel = channelOf('child', parentStepKey);
      const isFailed = outcome.status !== 'completed';
      this.send(parentRunId, channel, isFailed ? outcome.error : outcome.output, isFailed ? 'error' : 'value');
    }
  }

  emit(event: NewEvent): void {
    if (this.events.every(({ name, id }) => name !== event.name || id !== event.id)) this.happen({ ...event, at: this.settings.now() });
  }

  meet(run: MemoryRun): void {
    for (const wait of run.stored.openWaits) {
      const { event, stepKey, name } = wait;
      if (event === undefined || run.sentEvents.has(stepKey)) continue;
      const since = event.since === 'run-start' ? run.createdAt : event.since === 'now' ? wait.openedAt : event.since;
      const found = this.events.find(
        (each) =>
          each.name === name &&
          (event.key === null || each.key === event.key) &&
          each.at >= since &&
          (event.where === null || fits(event.where, this.settings.payloads.decode(each.payload, 'payload'))) &&
          !run.isReceiving(each.seq),
      );
      if (!found) continue;
      run.sentEvents.set(stepKey, found.seq);
      const { payload, seq } = found;
      run.receive({ id: String(++this.sent), channel: channelOf('event', stepKey), payload, outcome: 'value', event: seq });
    }
  }

  private happen(event: Omit<TimedEvent, never> & { readonly id?: string }): void {
    this.events.push({ ...event, seq: String(this.events.length + 1) });
    for (const run of this.runs.values()) this.meet(run);
  }

  private emitDue(coming: TimedEvent[]): void {
    while (coming[0] && coming[0].at <= this.clock.now()) this.happen(coming.shift()!);
  }

  private send(runId: string, channel: string, payload: string, outcome: Message['outcome']): void {
    this.runs.get(runId)?.receive({ id: String(++this.sent), channel, payload, outcome });
  }

  private definitionOf({ name, version }: NewRun): WorkflowDefinition | undefined {
    const named = this.definitions.filter((each) => each.name === name).sort((a, b) => b.version - a.version);
    return version === ANY_VERSION ? named[0] : named.find((each) => each.version === version);
  }

  /** Returns the run that continues a run, if there is one. */
  private successorOf({ outcome }: MemoryRun): MemoryRun | undefined {
    const next = outcome?.status === 'completed' ? outcome.continuedAs : undefined;
    return next && this.runs.get(next.id);
  }

  /**
   * Resolves when no run is busy, or when the same step bodies, and nothing else, have been
   * executed for a second.
   *
   * @returns descriptions of the hanging bodies, for a message
   * @throws WorkflowTestError when a run awaits something outside of its steps, or never waits
   */
  private async settle(): Promise<readonly string[]> {
    let same = '';
    const time = new RunningTime();
    let since = 0;
    let [recorded, recordedAt] = [-1, 0];
    for (let rounds = 0; ; rounds++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.failure) throw this.failure;
      const busy = [...this.runs.values()].filter((run) => run.isBusy);
      if (busy.length === 0 && !this.clock.isRinging) return [];
      const bodies = busy.flatMap((run) => run.bodies.map((stepKey) => `step "${stepKey}" of run "${run.id}"`));
      const isOnlyBodies = busy.every((run) => run.bodies.length > 0);
      const shown = isOnlyBodies ? bodies.join() : '';
      const now = time.now();
      if (shown !== same || shown === '') [same, since] = [shown, now];
      if (now - since >= HANGS_AFTER_MS) return bodies;
      const records = [...this.runs.values()].reduce((sum, { stored }) => sum + stored.size, this.runs.size);
      if (isOnlyBodies || records !== recorded) [recorded, recordedAt] = [records, now];
      if (now - recordedAt >= STALLED_AFTER_MS || now >= ENDLESS_AFTER_MS)
        throw new WorkflowTestError(describeBusy(busy, now - recordedAt >= STALLED_AFTER_MS ? 'stalled' : 'endless'));
      if (rounds > EAGER_ROUNDS) await sleep(1);
    }
  }

  /** Moves the clock to the next due time, and continues the runs that are due. */
  private moveOn(run: MemoryRun, unsent: TimedMessage[], coming: TimedEvent[], hanging: readonly string[]): void {
    const wakes = [...this.runs.values()].map(({ wakeAt }) => wakeAt);
    const never = Number.POSITIVE_INFINITY;
    const next = Math.min(this.clock.nextAlarm, unsent[0]?.at ?? never, coming[0]?.at ?? never, ...wakes);
    if (next === Number.POSITIVE_INFINITY) throw new WorkflowTestError(describeStuck(run, hanging));
    this.clock.moveTo(next);
    while (unsent[0] && unsent[0].at <= next) {
      const { channel, payload } = unsent.shift()!;
      this.send(run.id, channel, payload, 'value');
    }
    this.emitDue(coming);
    for (const each of this.runs.values()) if (each.wakeAt <= next) each.begin();
  }
}

function describeBusy(busy: readonly MemoryRun[], why: 'stalled' | 'endless'): string {
  const names = busy.map(({ id, start }) => `run "${id}" (${start.name})`).join(', ');
  return why === 'stalled'
    ? `${names} awaits something outside of steps for ${STALLED_AFTER_MS / 1_000} s: use a step, or a wait of the context, for what run() awaits`
    : `${names} has not waited for ${ENDLESS_AFTER_MS / 1_000} s: run() may call steps or start runs in an endless loop without a sleep`;
}

function describeStuck(run: MemoryRun, hanging: readonly string[]): string {
  if (hanging.length > 0) return `${hanging.join(', ')} never ends: its body awaits something that does not happen`;
  const waits = [...run.stored.openWaits].map(({ kind, name, stepKey }) => `${kind} "${name ?? stepKey}"`);
  const what = waits.length === 0 ? 'something outside of its steps and waits' : waits.join(', ');
  return `run "${run.id}" waits for ${what}, which never happens: send signals with options.signals, and events with options.events`;
}

import { toStepDescription, type StepDescription } from '../../client/queries/describe.js';
import { checkOptions, isPlainObject } from '../../core/check-options.js';
import { toMilliseconds, toTimestamp, type Duration } from '../../core/duration.js';
import { checkEvent, type EventArguments, type EventDefinition } from '../../core/event.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { ManualClock } from '../../core/manual-clock.js';
import { channelOf } from '../../core/message-kinds.js';
import { Payloads } from '../../core/payloads.js';
import type { ScheduledFor } from '../../core/schedules/schedule-types.js';
import { checkSignal, type SignalArguments, type SignalDefinition } from '../../core/signal.js';
import { validate } from '../../core/standard-schema.js';
import type { InputOf, OutputOf, StartArguments, WorkflowClass } from '../../core/workflow-types.js';
import { encodeEvent } from '../../engine/events.js';
import type { PassOutcome } from '../../engine/ports.js';
import { loadWorkflows, type StandaloneProviders } from '../../nest/standalone-workflows.js';
import { FakeSteps, type StepFake, type StepName } from '../fake-steps.js';
import { standaloneEngine } from './engine-settings.js';
import { MemoryRuns, type TimedEvent, type TimedMessage } from './memory-runs.js';
import type { MemoryRun } from './memory-run.js';

/** Signal that a test sends to a run in memory, made by `sent`. */
export interface SentSignal {
  readonly signal: SignalDefinition<unknown, never>;
  readonly payload: unknown;
  /** Time from the start of the run, in milliseconds or as a duration. */
  readonly after: Duration;
}

/** Event that happens in a test of a run in memory, made by `happened`. */
export interface HappenedEvent {
  readonly event: EventDefinition<unknown, never>;
  readonly payload: unknown;
  /** Time from the start of the run, in milliseconds or as a duration. */
  readonly after: Duration;
}

/** Replacements for the bodies of the workflow's own steps, by the name of the method. */
export type FakedBodies<T> = { readonly [K in StepName<T>]?: StepFake<T, K> };

/** Options of `runInMemory`. */
export interface InMemoryOptions<W extends WorkflowClass> {
  /**
   * Providers that the workflow injects, and the workflows that it starts: classes, or objects as
   * in a module of Nest. (default: none)
   */
  providers?: StandaloneProviders;
  /** Replacements for the bodies of the workflow's own steps. (default: none) */
  steps?: FakedBodies<InstanceType<W>>;
  /** Signals to the run, made by `sent`. (default: none) */
  signals?: readonly SentSignal[];
  /**
   * Events that happen while the run works, made by `happened`. Events that the run emits need not
   * be listed. (default: none)
   */
  events?: readonly HappenedEvent[];
  /**
   * Due time for which a schedule starts the run, and the name of the schedule: the value of
   * `ctx.schedule`. (default: no schedule; default of `name`: the name of the workflow)
   */
  schedule?: { dueAt: Date; name?: string };
  /** Time at which the run starts. (default: `schedule.dueAt`, or the current time) */
  startAt?: Date;
  /** Replays the run when its code has ended, and at each of its first waits. (default: `true`) */
  verifyReplay?: boolean;
}

/** A run in memory that has ended. */
export interface InMemoryRun<O> {
  readonly status: 'completed' | 'failed' | 'cancelled';
  /** Result of the workflow; undefined unless the run completed. */
  readonly output: O | undefined;
  /** Error that the workflow threw; undefined when the run completed. */
  readonly error: Error | undefined;
  /** Recorded steps, in the order of their results. */
  readonly steps: readonly StepDescription[];
  readonly startedAt: Date;
  /** Time of the test's clock at which the run ended. */
  readonly endedAt: Date;
}

/**
 * Describes a signal that a test sends to a run in memory.
 *
 * @param args the payload, and `after`: time from the start of the run, in milliseconds or as a
 *   duration (default: at once; the signal is kept until the run waits for it)
 * @throws InvalidInputError when the options are no object, or have an unknown key
 * @example sent(approved, { by: 'ann' }, { after: '2 days' })
 */
export function sent<P, Sent>(signal: SignalDefinition<P, Sent>, ...args: SignalArguments<Sent, { after?: Duration }>): SentSignal {
  const [payload, options = {}] = args as [payload?: unknown, options?: { after?: Duration }];
  const { after = 0 } = checkOptions(options, 'options', ['after']);
  return { signal, payload, after };
}

/**
 * Describes an event that happens in a test of a run in memory.
 *
 * @param args the payload, and `after`: time from the start of the run, in milliseconds or as a
 *   duration (default: at once; the event is kept until the run waits for it)
 * @throws InvalidInputError when the options are no object, or have an unknown key
 * @example happened(orderPaid, { orderId: '7', cents: 900 }, { after: '1 day' })
 */
export function happened<P, Sent>(event: EventDefinition<P, Sent>, ...args: EventArguments<Sent, { after?: Duration }>): HappenedEvent {
  const [payload, options = {}] = args as [payload?: unknown, options?: { after?: Duration }];
  const { after = 0 } = checkOptions(options, 'options', ['after']);
  return { event, payload, after };
}

/**
 * Executes a workflow to its end without a database, in virtual time: sleeps and timeouts take no
 * time. The engine is that of production. Each of the first 100 waits suspends the run, and the
 * next pass replays it, unless `verifyReplay` is `false`.
 *
 * @param workflow class with `@Workflow`. Nest creates its instance
 * @param args the input, and the options
 * @returns the ended run, also when the run failed
 * @throws WorkflowTestError when the run waits for something that never happens
 * @throws InvalidInputError when the input or an option is invalid, and the error of Nest when a
 *   provider is missing
 * @example
 * const { output, steps } = await runInMemory(OrderWorkflow, order, {
 *   providers: [{ provide: PaymentService, useValue: { charge: async () => 'ch_1' } }],
 *   signals: [sent(approved, { by: 'ann' })],
 * });
 */
export async function runInMemory<W extends WorkflowClass>(
  workflow: W,
  ...args: StartArguments<InputOf<W>, InMemoryOptions<W>>
): Promise<InMemoryRun<OutputOf<W>>> {
  const [input, options = {}] = args as [input?: unknown, options?: InMemoryOptions<W>];
  const known = ['providers', 'steps', 'signals', 'events', 'schedule', 'startAt', 'verifyReplay'];
  const {
    providers = [],
    steps = {},
    signals = [],
    events = [],
    schedule,
    startAt,
    verifyReplay = true,
  } = checkOptions(options, 'options', known);
  if (typeof verifyReplay !== 'boolean') throw new InvalidInputError('options.verifyReplay', 'must be a boolean');
  if (!isPlainObject(steps)) throw new InvalidInputError('options.steps', 'must be an object');
  if (!Array.isArray(signals)) throw new InvalidInputError('options.signals', 'must be an array');
  if (!Array.isArray(events)) throw new InvalidInputError('options.events', 'must be an array');
  const due = schedule === undefined ? undefined : checkDue(schedule);
  const clock = new ManualClock(startAt === undefined ? (due?.dueAt ?? Date.now()) : toTimestamp(startAt, 'options.startAt'));
  const loaded = await loadWorkflows(workflow as never, providers);
  const fakes = new FakeSteps(loaded);
  try {
    for (const [method, fake] of Object.entries(steps))
      if (fake !== undefined) fakes.replace(workflow, method, fake as never, `options.steps.${method}`);
    const payloads = new Payloads(loaded.settings.maxPayloadBytes, undefined);
    const settings = standaloneEngine(clock, payloads, loaded.module, verifyReplay ? 'verifies' : 'trusts');
    const start = await settings.starts.check(workflow, {}).withInput(input);
    const messages = await Promise.all(signals.map((each, index) => toMessage(each, index, clock.now(), payloads, start.id)));
    const emitted = await Promise.all(events.map((each, index) => toEvent(each, index, clock.now(), payloads)));
    const startedAt = new Date(clock.now());
    const scheduled = due ? { schedule: { name: start.name, ...due } } : {};
    const runs = new MemoryRuns(loaded.definitions, settings, clock, verifyReplay ? 'at each wait' : 'never');
    const run = await runs.execute({ ...start, ...scheduled }, messages, emitted);
    return { ...(endOf(run, payloads) as InMemoryRun<OutputOf<W>>), startedAt, endedAt: new Date(clock.now()) };
  } finally {
    fakes.restoreAll();
    await loaded.close();
  }
}

function endOf({ outcome, stored }: MemoryRun, payloads: Payloads): Pick<InMemoryRun<unknown>, 'status' | 'output' | 'error' | 'steps'> {
  const { status } = outcome as PassOutcome;
  const ended = outcome as PassOutcome;
  return {
    status,
    output: ended.status === 'completed' ? payloads.decode(ended.output, 'output') : undefined,
    error: ended.status === 'completed' ? undefined : payloads.decodeError(ended.error),
    steps: stored.steps.map((step) => toStepDescription(step, payloads)),
  };
}

function checkDue(given: { dueAt: Date; name?: string }): Partial<ScheduledFor> & { readonly dueAt: number } {
  const { dueAt, name } = checkOptions(given, 'options.schedule', ['dueAt', 'name']);
  const at = toTimestamp(dueAt, 'options.schedule.dueAt');
  return name === undefined ? { dueAt: at } : { dueAt: at, name: checkText(name, 'options.schedule.name') };
}

async function toEvent(given: HappenedEvent, index: number, now: number, payloads: Payloads): Promise<TimedEvent> {
  const argument = `options.events[${index}]`;
  if (!isPlainObject(given)) throw new InvalidInputError(argument, 'must be made by happened()');
  const { event, payload, after } = given;
  const definition = checkEvent(event, argument);
  const { key, stored } = await encodeEvent(definition, payload, (value) => payloads.encode(value, argument, '', 'event'));
  return { at: now + toMilliseconds(after, `${argument}.after`), name: definition.name, key, payload: stored };
}

async function toMessage(given: SentSignal, index: number, now: number, payloads: Payloads, runId: string): Promise<TimedMessage> {
  const argument = `options.signals[${index}]`;
  if (!isPlainObject(given)) throw new InvalidInputError(argument, 'must be made by sent()');
  const { signal, payload, after } = given;
  const { name, schema } = checkSignal(signal, argument);
  const value = schema ? await validate(schema, payload, argument) : payload;
  return {
    at: now + toMilliseconds(after, `${argument}.after`),
    channel: channelOf('signal', name),
    payload: payloads.encode(value === undefined ? true : value, argument, runId, 'message'),
  };
}

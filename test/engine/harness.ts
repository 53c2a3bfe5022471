import type { Duration } from '../../src/core/duration.js';
import type { SignalDefinition } from '../../src/core/signal.js';
import { decode, decodeError, encode } from '../../src/core/serializer/index.js';
import { HookSchemas } from '../../src/core/hook-schemas.js';
import { Payloads } from '../../src/core/payloads.js';
import { DEFAULT_RETRY_POLICY } from '../../src/core/retry-policy.js';
import type { History } from '../../src/core/step.js';
import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { currentStep } from '../../src/engine/current.js';
import type { SignalOptions } from '../../src/engine/context-options.js';
import type { CallTable } from '../../src/engine/call-table.js';
import { Pass } from '../../src/engine/pass.js';
import type { StepTransaction } from '../../src/engine/transaction-port.js';
import type { EngineSettings, PassFault, PassPort, WorkflowDefinition } from '../../src/engine/ports.js';
import { label, MemoryJournal, Stored, type Entry } from './memory-journal.js';
import { delay, settle, until } from './virtual-time.js';

export type WorkflowFunction = (ctx: WorkflowContext, input: any) => unknown;

export interface RunOptions {
  input?: unknown;
  id?: string;
  /** Object whose methods with `@Step` have plain names. */
  self?: object;
  settings?: Partial<EngineSettings>;
  /** Time limit of an attempt when a step has none of its own. */
  stepTimeoutMs?: number;
  compensation?: WorkflowDefinition['compensation'];
  /** Virtual milliseconds that a flush takes. */
  latency?: () => number;
  /** Virtual milliseconds that the commit of a transactional step takes (default: 0). */
  commitMs?: number;
  refuses?: (entry: Entry) => Error | undefined;
  /** Called after each durable transition. The process dies when it returns true. */
  crashes?: (count: number) => boolean;
  /** Records from before the first pass. */
  history?: History;
  /**
   * Passes the original context to the workflow. Only bodies that call `began` are noted then, and
   * the harness handles no rejection.
   */
  bare?: boolean;
  /**
   * Suspends the run whenever it is idle: closes the pass, and creates another when the first wait
   * is due.
   */
  suspends?: boolean;
}

/** Decoded end of a run. */
export type Ending =
  | { readonly status: 'completed'; readonly output: any }
  | { readonly status: 'failed' | 'cancelled'; readonly error: Error }
  | { readonly status: 'blocked'; readonly error: Error };

/** Run on an in-memory store, executed by as many real passes as it needs. */
export class TestRun {
  readonly stored = new Stored();
  readonly journal: MemoryJournal;
  pass!: Pass;
  /** Number of passes so far. */
  passes = 0;
  /** Number of times that the body of each step has begun. */
  readonly bodies = new Map<string, number>();
  /** Side effects in order: each beginning of a body, and what a test adds. */
  readonly effects: string[] = [];
  /** Idle reports of the pass: the time at which it is due, or null for busy again. */
  readonly idle: (number | null)[] = [];
  fault: PassFault | undefined;
  /** True after a refused result: another pass will be created. */
  private restarting = false;
  private sent = 0;
  /** Warnings for the developer. */
  readonly warnings: string[] = [];
  /** Child runs whose cancellation was requested, once per request. */
  readonly cancelledChildren: string[] = [];
  readonly states = new Map<string, string>();
  /** Steps that refused a message. */
  readonly dropped: string[] = [];
  /** True while the run has no owner, until it is due or a message arrives. */
  isParked = false;
  /** Creates a pass when a suspended run is due. */
  private waking: NodeJS.Timeout | undefined;
  private cancelReason: { readonly reason: string | undefined } | undefined;
  private readonly startedAt = Date.now();
  private readonly input: string;

  constructor(
    public workflow: WorkflowFunction,
    readonly options: RunOptions = {},
  ) {
    for (const step of options.history?.steps ?? []) this.stored.apply(entryOf({ kind: 'step', step, closesWait: true, takes: null }));
    for (const wait of options.history?.waits ?? []) this.stored.waits.set(wait.stepKey, wait);
    this.input = encode(options.input, 'input');
    this.journal = new MemoryJournal(this.stored, options.latency ?? (() => 0), options.refuses ?? (() => undefined), (count) =>
      this.written(count),
    );
    this.begin();
  }

  /**
   * Lets time pass until the run has ended or is blocked. Throws when an invariant was violated.
   */
  async end(): Promise<Ending> {
    await until(
      () => this.stored.outcome !== undefined || this.fault?.kind === 'mismatch',
      () => `the end of the run; recorded: ${this.keys.join(', ')}; effects: ${this.effects.join(', ')}`,
    );
    this.check();
    return this.ending!;
  }

  get ending(): Ending | undefined {
    if (this.fault?.kind === 'mismatch') return { status: 'blocked', error: this.fault.error };
    const { outcome } = this.stored;
    if (!outcome) return undefined;
    if (outcome.status === 'completed') return { status: 'completed', output: decode(outcome.output) };
    return { status: outcome.status, error: decodeError(outcome.error) };
  }

  /** Step keys in the order in which their results were recorded. */
  get keys(): string[] {
    return this.stored.history.steps.map((step) => step.stepKey);
  }

  check(): void {
    if (this.stored.violations.length > 0) throw new Error(this.stored.violations.join('\n'));
  }

  /** Kills the process, which loses what is not durable. Another process takes over at once. */
  crash(): void {
    this.letGo();
    setImmediate(() => this.begin());
  }

  /** Kills the process, and no other takes over for now. */
  letGo(reason: unknown = new Error('the process died')): void {
    const { pass } = this;
    this.passes++;
    this.journal.crash();
    pass.close(reason);
  }

  /** Creates a pass from what is stored. */
  begin(): void {
    clearTimeout(this.waking);
    this.isParked = false;
    if (this.stored.outcome) return;
    const life = ++this.passes;
    this.restarting = false;
    this.fault = undefined;
    const settings = {
      payloads: new Payloads(1_000_000, undefined),
      isDevelopment: true,
      cancelGraceMs: 30_000,
      replayStallMs: 30_000,
      now: () => Date.now(),
      isSure: () => true,
      isClosing: () => false,
      log: () => undefined,
      starts: noStarts,
      hookUrl: (token: string) => `/workflow/hooks/${token}`,
      hookSchemas: new HookSchemas(),
      ...this.options.settings,
    };
    const { id = 'run-1' } = this.options;
    this.pass = new Pass(
      { id, input: this.input, startedAt: this.startedAt, deadlineAt: null, generation: 0, seedId: id, epoch: life },
      this.definition(),
      this.stored.history,
      this.port(life),
      settings,
    );
    this.pass.start();
    for (const message of this.stored.inbox.values()) this.pass.receive(message);
    if (this.cancelReason) this.pass.cancel(null, this.cancelReason.reason);
  }

  /** Sends a message. It is durable at once, and a pass after a crash receives it again. */
  send(channel: string, payload: unknown): void {
    const message = { id: String(++this.sent), channel, payload: encode(payload, 'payload'), outcome: 'value' } as const;
    this.stored.inbox.set(message.id, message);
    if (this.isParked) this.begin();
    else this.pass.receive(message);
  }

  /**
   * Requests the cancellation. A pass after a crash receives the request again unless it is
   * recorded.
   */
  cancel(reason?: string): void {
    this.cancelReason = { reason };
    if (this.isParked) this.begin();
    else this.pass.cancel(null, reason);
  }

  /**
   * Notes that the body of the current step has begun. Bodies of `ctx.step` are noted
   * automatically, with the results that the code had seen by then.
   */
  began(seen: Iterable<string> = []): void {
    const { stepKey } = currentStep();
    this.bodies.set(stepKey, (this.bodies.get(stepKey) ?? 0) + 1);
    this.effects.push(stepKey);
    const { violations } = this.stored;
    if (this.stored.has(stepKey)) violations.push(`the body of ${stepKey} was executed after its result was durable`);
    for (const key of seen) {
      if (!this.stored.has(key)) violations.push(`the body of ${stepKey} began before the result of ${key} was durable`);
    }
  }

  private definition(): WorkflowDefinition {
    return {
      name: 'test',
      version: 1,
      queue: 'default',
      owns: (target) => target === this.options.self,
      retry: { ...DEFAULT_RETRY_POLICY, jitter: false },
      stepTimeoutMs: this.options.stepTimeoutMs ?? 300_000,
      compensation: this.options.compensation,
      invoke: async (input, ctx) => this.workflow(this.options.bare ? ctx : this.watch(ctx), input),
    };
  }

  /** Wraps the context. Notes which bodies begin and which results the code has seen. */
  private watch(ctx: WorkflowContext): WorkflowContext {
    const seen = new Set<string>();
    const keyed = (name: string, call: Promise<unknown>): Promise<unknown> => {
      const key = [...(this.pass.handle as CallTable).byKey].findLast(([, { promise }]) => promise === call)?.[0] ?? name;
      const note = (): void => void seen.add(key);
      void call.then(note, (error: { code?: string }) => void (error.code === 'STEP_FAILED' && note()));
      return call;
    };
    const step = (name: string, ...rest: any[]): Promise<unknown> => {
      const fn = rest.at(-1);
      const options = rest.slice(0, -1);
      if (typeof fn !== 'function') return (ctx.step as any)(name, ...rest);
      const body = (): unknown => {
        this.began(seen);
        return fn();
      };
      return keyed(name, (ctx.step as any)(name, ...options, body));
    };
    const own = {
      step,
      sleep: (duration: Duration) => keyed('sleep', ctx.sleep(duration)),
      waitForSignal: (signal: SignalDefinition<unknown>, options?: object) =>
        keyed('signal', ctx.waitForSignal(signal, options as SignalOptions)),
    };
    return new Proxy(ctx, {
      get: (_, property) => {
        if (property in own) return own[property as keyof typeof own];
        const value: unknown = Reflect.get(ctx, property);
        return typeof value === 'function' ? (value.bind(ctx) as unknown) : value;
      },
    });
  }

  /** Executes a transactional body. Its result becomes durable like every other entry. */
  private async transact(life: number, step: StepTransaction, submit: (entry: Entry) => void): Promise<void> {
    const { signal } = step;
    signal.throwIfAborted();
    const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    aborted.catch(() => undefined);
    const result = await Promise.race([step.body({}), aborted]);
    step.beginCommit();
    if (this.options.commitMs !== undefined) await delay(this.options.commitMs);
    // Nothing follows in a dead process. Another owner, or the end of the run, refuses the record.
    if (life !== this.passes) await new Promise(() => undefined);
    if (this.stored.outcome) throw new Error('the run has ended');
    await new Promise<void>((done, failed) => submit({ kind: 'step', ...result, done, failed }));
    step.committed();
  }

  private noteActive(): void {
    if (this.idle.length > 0 && this.idle.at(-1) !== null) this.idle.push(null);
  }

  private port(life: number): PassPort {
    const submit = (entry: Entry): void => {
      if (life === this.passes) this.journal.submit(entry);
      else this.stored.violations.push(`an abandoned pass handed over ${label(entry)}`);
    };
    const done = (): void => undefined;
    return {
      journal: {
        record: (result, durable, refused) => {
          const failed = (error: Error): void => {
            this.restarting = true;
            refused(error);
          };
          submit({ kind: 'step', ...result, done: durable, failed });
        },
        openWait: (wait, event, durable) => submit({ kind: 'wait', wait, event, done: durable, failed: done }),
        closeWait: (stepKey) => submit({ kind: 'closeWait', stepKey, done, failed: done }),
        setState: (key, value) => this.states.set(key, value),
        openChild: (wait, _child, known) => submit({ kind: 'wait', wait, event: null, done: () => known(undefined), failed: done }),
        dropMessage: (messageId, event) => {
          this.stored.inbox.delete(messageId);
          this.dropped.push(event?.stepKey ?? '');
        },
        cancelChild: (stepKey, childId) => {
          if (stepKey === null) return void this.cancelledChildren.push(childId);
          submit({ kind: 'closeWait', stepKey, done: () => this.cancelledChildren.push(childId), failed: done });
        },
        startDetached: () => Promise.resolve('started'),
        emit: () => Promise.resolve(),
        transact: (step) => this.transact(life, step, submit),
        chunksStored: () => Promise.resolve(),
        createHook: ({ token }) => Promise.resolve({ token }),
        streams: { write: () => Promise.resolve(), flush: () => Promise.resolve(), unchecked: () => undefined },
      },
      attemptFailed: () => undefined,
      warn: (_code, message) => this.warnings.push(message),
      ended: (outcome) => submit({ kind: 'ended', outcome, done, failed: (error) => this.endRefused(life, error) }),
      faulted: (fault) => {
        this.fault = fault;
        if (fault.kind === 'restart') setImmediate(() => this.begin());
      },
      idle: (wakeAt) => {
        this.idle.push(wakeAt);
        if (this.options.suspends) setImmediate(() => this.suspend(life, wakeAt));
      },
      working: () => this.noteActive(),
      slot: { take: () => true, wait: (granted) => granted() },
    };
  }

  /**
   * Ends the run as the worker does when the database refuses an end: with a failure that can be
   * stored.
   */
  private endRefused(life: number, { name, message }: Error): void {
    if (life !== this.passes || this.restarting) return;
    const outcome = { status: 'failed', error: JSON.stringify({ name, message }), failure: { code: name, step: null } } as const;
    this.journal.submit(entryOf({ kind: 'ended', outcome }));
  }

  private suspend(life: number, wakeAt: number): void {
    if (life !== this.passes || this.idle.at(-1) !== wakeAt || wakeAt <= Date.now()) return;
    this.pass.hold();
    const done = (): void => {
      if (this.idle.at(-1) !== wakeAt) return this.pass.resume();
      this.letGo(undefined);
      this.isParked = true;
      // setTimeout turns longer delays into 1 ms. A run that is claimed early is suspended again.
      const left = Math.min(Math.max(0, wakeAt - Date.now()), 2 ** 30);
      if (Number.isFinite(wakeAt)) this.waking = setTimeout(() => this.begin(), left);
    };
    this.journal.submit({ ...entryOf({ kind: 'suspended' }), done });
  }

  private written(count: number): boolean {
    if (this.stored.outcome || !this.options.crashes?.(count)) return false;
    this.crash();
    return true;
  }
}

const noStarts = {
  check: () => {
    throw new Error('no runs are started here');
  },
  idFor: (runId: string, stepKey: string) => `${runId}:${stepKey}`,
};

/** Executes a workflow to its end. */
export async function execute(workflow: WorkflowFunction, options?: RunOptions): Promise<{ run: TestRun; ending: Ending }> {
  const run = new TestRun(workflow, options);
  return { run, ending: await run.end() };
}

/** Lets the pass run until it waits, without advancing time. */
export async function rest(run: TestRun): Promise<void> {
  await settle();
  run.check();
}

type Bare<E> = E extends unknown ? Omit<E, 'done' | 'failed'> : never;

function entryOf(entry: Bare<Entry>): Entry {
  const ignore = (): void => undefined;
  return { ...entry, done: ignore, failed: ignore };
}

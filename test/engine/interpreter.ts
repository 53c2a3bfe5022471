import { AsyncLocalStorage } from 'node:async_hooks';

import { defineSignal } from '../../src/core/signal.js';
import type { WorkflowContext } from '../../src/engine/workflow-context.js';
import { currentStep } from '../../src/engine/current.js';
import { MAX_ATTEMPTS, type Node, type SignalName } from './programs.js';
import { delay } from './virtual-time.js';

/**
 * Virtual milliseconds in one unit of a program. The remainder separates events that would
 * otherwise end at the same moment.
 */
export const UNIT = 1_000_000;

const SIGNALS = { x: defineSignal<string>('x'), y: defineSignal<string>('y') };

/**
 * Virtual milliseconds in one unit of ordinary I/O, which is shorter than the stall time of a
 * replay.
 */
const IO_UNIT = 200;

/**
 * World outside the workflow, which crashes do not affect. Work of a body ends when it would have
 * ended without the crash. So crashes do not change the winner of a race, and runs can be compared.
 */
export class World {
  /** Work that was begun, and the time at which it ends. */
  private readonly work = new Map<string, number>();
  /** Trace of each pass. */
  readonly traces: string[][] = [];
  /** Step that returned a value, by value. */
  readonly swapped: string[] = [];

  constructor(
    /** Returns the duration of I/O, which differs between passes. */
    private readonly ioTakes: (id: number, takes: number) => number,
    /** True when steps have compensations. */
    readonly charges: boolean = false,
  ) {}

  /** Idempotency keys of charges that another system has carried out. */
  readonly charged = new Set<string>();
  /** Idempotency keys of charges that it has refunded, in order. */
  readonly refunded: string[] = [];
  /** Scopes of the last pass, by the step key of each call that has a compensation. */
  scopes = new Map<string, Scope>();

  /** Returns the program as a workflow function. */
  workflow(program: Node): (ctx: WorkflowContext) => Promise<unknown> {
    return (ctx) => {
      const trace: string[] = [];
      this.traces.push(trace);
      this.scopes = new Map();
      return new Interpreter(this, ctx, trace).execute(program);
    };
  }

  async attempt(id: number, takes: number): Promise<void> {
    const { stepKey, attempt } = currentStep();
    const name = `${id}/${stepKey}/${attempt}`;
    const now = Date.now();
    const end = this.work.get(name) ?? now + span(takes, name);
    this.work.set(name, end);
    await delay(Math.max(0, end - now));
  }

  /** Undoes a charge. Throws for a charge that was never made. */
  async refund(id: number, takes: number): Promise<void> {
    const { compensates, idempotencyKey } = currentStep();
    await this.attempt(id, takes);
    if (!this.charged.has(compensates!.idempotencyKey)) throw new Error(`${idempotencyKey} without a charge`);
    if (!this.refunded.includes(compensates!.idempotencyKey)) this.refunded.push(compensates!.idempotencyKey);
  }

  async io(id: number, takes: number): Promise<void> {
    const length = this.ioTakes(id, takes);
    if (length === 0) return;
    if (length > 3) return delay(length * IO_UNIT);
    for (let round = 0; round < length; round++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Scope of a saga, or of the whole run. */
export interface Scope {
  readonly outer: Scope | undefined;
  hasFailed: boolean;
}

class Interpreter {
  private readonly scope = new AsyncLocalStorage<Scope>();
  private readonly counts = new Map<number, number>();

  constructor(
    private readonly world: World,
    private readonly ctx: WorkflowContext,
    private readonly trace: string[],
  ) {}

  async execute(node: Node): Promise<unknown> {
    switch (node.kind) {
      case 'step':
        return this.world.charges ? this.charge(node) : this.step(node);
      case 'sleep':
        await this.ctx.sleep(span(node.takes, String(node.id)));
        return this.note('slept');
      case 'signal': {
        const wanted = SIGNALS[node.name];
        if (node.takes === 0) return this.got(node.name, await this.ctx.waitForSignal(wanted));
        return this.got(node.name, await this.ctx.waitForSignal(wanted, { timeout: span(node.takes, String(node.id)) }));
      }
      case 'withdrawn':
        return this.withdrawn(node);
      case 'first':
        return this.first(node.branches);
      case 'io':
        return this.world.io(node.id, node.takes);
      case 'observe':
        return this.note(`${this.ctx.random()} ${this.ctx.uuid()}`);
      case 'throw':
        throw new Error(`thrown ${node.id}`);
      case 'seq': {
        const results: unknown[] = [];
        for (const each of node.nodes) results.push(await this.execute(each));
        return results;
      }
      case 'loop': {
        let last: unknown;
        for (let time = 0; time < node.times; time++) last = await this.execute(node.body);
        return last;
      }
      case 'together':
        return this.together(
          node.how,
          node.branches.map((branch) => this.execute(branch)),
        );
      case 'try':
        return this.attempt(node);
      case 'saga':
        return this.saga(node);
      case 'detached':
        void this.execute(node.body).catch(() => undefined);
        return undefined;
    }
  }

  private async saga({ body }: Node & { kind: 'saga' }): Promise<unknown> {
    const scope: Scope = { outer: this.scope.getStore(), hasFailed: false };
    try {
      return await this.ctx.saga(() => this.scope.run(scope, () => this.execute(body)));
    } catch (error) {
      scope.hasFailed = true;
      this.note(`saga: ${(error as Error).message}`);
      throw error;
    }
  }

  /** Executes a step that charges for something, and that a refund undoes. */
  private charge({ id, name, takes, fails }: Node & { kind: 'step' }): Promise<number> {
    const count = (this.counts.get(id) ?? 0) + 1;
    this.counts.set(id, count);
    const key = `${id}-${count}`;
    const scope = this.scope.getStore();
    if (scope) this.world.scopes.set(`${name}:${key}`, scope);
    const retry = { maxAttempts: MAX_ATTEMPTS, initialInterval: span(1, `pause ${id}`) };
    const compensate = (): Promise<void> => this.world.refund(id, takes % 3);
    return this.ctx.step(name, { key, retry, compensate }, async () => {
      await this.world.attempt(id, takes);
      if (currentStep().attempt <= fails) throw new Error(`failed ${id}`);
      this.world.charged.add(currentStep().idempotencyKey);
      return id;
    });
  }

  private async step({ id, name, keyed, takes, fails }: Node & { kind: 'step' }): Promise<number> {
    const options = { ...(keyed ? { key: `k${id}` } : {}), retry: { maxAttempts: MAX_ATTEMPTS, initialInterval: span(1, `pause ${id}`) } };
    try {
      const value = await this.ctx.step(name, options, async () => {
        if (takes > 0) await this.world.attempt(id, takes);
        if (currentStep().attempt <= fails) throw new Error(`failed ${id}`);
        return id;
      });
      if (value !== id) this.world.swapped.push(`${name} ${id} got the result of ${value}`);
      this.note(`${value}`);
      return value;
    } catch (error) {
      this.note((error as Error).message);
      throw error;
    }
  }

  private async together(how: (Node & { kind: 'together' })['how'], branches: Promise<unknown>[]): Promise<unknown> {
    // A losing branch may fail later, when no code awaits it any more.
    for (const branch of branches) branch.catch(() => undefined);
    switch (how) {
      case 'all':
        return Promise.all(branches);
      case 'race':
        return Promise.race(branches);
      case 'any':
        return Promise.any(branches);
      case 'allSettled':
        return (await Promise.allSettled(branches)).map((each) =>
          each.status === 'fulfilled' ? each.value : `rejected ${(each.reason as Error).message}`,
        );
    }
  }

  private async first(branches: readonly Node[]): Promise<unknown> {
    const { key, value } = await this.ctx.race(
      Object.fromEntries(branches.map((branch, index) => [String(index), () => this.execute(branch)])),
    );
    this.note(`branch ${key} was first`);
    return value;
  }

  private async withdrawn({ id, name, takes }: Node & { kind: 'withdrawn' }): Promise<unknown> {
    const controller = new AbortController();
    const wait = this.ctx.waitForSignal(SIGNALS[name], { signal: controller.signal }).then(
      (value) => this.got(name, value),
      (error: Error) => this.note(error.message),
    );
    await this.ctx.sleep(span(takes, String(id)));
    controller.abort(new Error(`withdrawn ${id}`));
    return wait;
  }

  private got(name: SignalName, value: string | null): string {
    return this.note(value === null ? `no ${name}` : `${name} got ${value};`);
  }

  private async attempt(node: Node & { kind: 'try' }): Promise<unknown> {
    try {
      return await this.execute(node.body);
    } catch (error) {
      this.note(`caught ${(error as Error).message}`);
      return await this.execute(node.caught);
    } finally {
      await this.execute(node.after);
    }
  }

  private note(what: string): string {
    this.trace.push(`${what} @${this.ctx.now().getTime()}`);
    return what;
  }
}

/** Returns the milliseconds of so many units, plus a remainder that depends on the name. */
export function span(units: number, name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  return units * UNIT + (((hash ^ (hash >>> 15)) >>> 0) % UNIT);
}

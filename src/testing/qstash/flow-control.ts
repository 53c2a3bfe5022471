import { notFound } from './api-error.js';
import type { FlowSettings } from './publication.js';

interface Flow {
  readonly key: string;
  parallelism: number | undefined;
  rate: number | undefined;
  periodMs: number;
  paused: boolean;
  pinnedParallelism: boolean;
  pinnedRate: boolean;
  /** Number of active deliveries. */
  active: number;
  periodStart: number;
  /** Number of deliveries that were started in the current period. */
  started: number;
}

export interface FlowPin {
  readonly parallelism: number | undefined;
  readonly rate: number | undefined;
  readonly periodMs: number | undefined;
}

/**
 * Limits the deliveries of messages with the same flow-control key by delaying some of them. The
 * settings of the latest message with the key apply.
 */
export class FlowControl {
  private readonly byKey = new Map<string, Flow>();

  configure(settings: FlowSettings): void {
    const flow = this.ensure(settings.key);
    if (!flow.pinnedParallelism) flow.parallelism = settings.parallelism;
    if (!flow.pinnedRate) [flow.rate, flow.periodMs] = [settings.rate, settings.periodMs];
  }

  admits(key: string | undefined, now: number): boolean {
    const flow = this.of(key);
    if (!flow) return true;
    if (flow.paused || flow.active >= (flow.parallelism ?? Number.POSITIVE_INFINITY)) return false;
    return now >= flow.periodStart + flow.periodMs || flow.started < (flow.rate ?? Number.POSITIVE_INFINITY);
  }

  start(key: string | undefined, now: number): void {
    const flow = this.of(key);
    if (!flow) return;
    if (now >= flow.periodStart + flow.periodMs) [flow.periodStart, flow.started] = [now, 0];
    flow.started += 1;
    flow.active += 1;
  }

  end(key: string | undefined): void {
    const flow = this.of(key);
    if (flow && flow.active > 0) flow.active -= 1;
  }

  /**
   * Returns the time at which the key's rate permits the next delivery. Undefined when the rate
   * does not delay deliveries now, or the key is paused.
   */
  admitsAt(key: string | undefined, now: number): number | undefined {
    const flow = this.of(key);
    if (!flow || flow.rate === undefined || flow.paused || flow.started < flow.rate) return undefined;
    const end = flow.periodStart + flow.periodMs;
    return end > now ? end : undefined;
  }

  setPaused(key: string, state: 'paused' | 'running'): void {
    this.ensure(key).paused = state === 'paused';
  }

  pin(key: string, { parallelism, rate, periodMs }: FlowPin): void {
    const flow = this.ensure(key);
    if (parallelism !== undefined) [flow.parallelism, flow.pinnedParallelism] = [parallelism, true];
    if (rate === undefined && periodMs === undefined) return;
    flow.pinnedRate = true;
    flow.rate = rate ?? flow.rate;
    flow.periodMs = periodMs ?? flow.periodMs;
  }

  unpin(key: string, what: readonly ('parallelism' | 'rate')[]): void {
    const flow = this.ensure(key);
    if (what.includes('parallelism')) flow.pinnedParallelism = false;
    if (what.includes('rate')) flow.pinnedRate = false;
  }

  resetRate(key: string, now: number): void {
    const flow = this.ensure(key);
    [flow.periodStart, flow.started] = [now, 0];
  }

  clear(): void {
    this.byKey.clear();
  }

  /**
   * Returns the state of a flow-control key as the API shows it.
   *
   * @throws ApiError when there is no such key
   */
  view(key: string, waiting: number): object {
    const flow = this.of(key);
    if (!flow) throw notFound(`flow control key ${key}`);
    return {
      flowControlKey: key,
      waitListSize: waiting,
      parallelismMax: flow.parallelism ?? 0,
      parallelismCount: flow.active,
      rateMax: flow.rate ?? 0,
      rateCount: flow.started,
      ratePeriod: flow.periodMs / 1_000,
      ratePeriodStart: Math.floor(flow.periodStart / 1_000),
      isPaused: flow.paused,
      isPinnedParallelism: flow.pinnedParallelism,
      isPinnedRate: flow.pinnedRate,
    };
  }

  keys(): string[] {
    return [...this.byKey.keys()];
  }

  private of(key: string | undefined): Flow | undefined {
    return key === undefined ? undefined : this.byKey.get(key);
  }

  private ensure(key: string): Flow {
    const known = this.byKey.get(key);
    if (known) return known;
    const flow: Flow = {
      key,
      parallelism: undefined,
      rate: undefined,
      periodMs: 1_000,
      paused: false,
      pinnedParallelism: false,
      pinnedRate: false,
      active: 0,
      periodStart: 0,
      started: 0,
    };
    this.byKey.set(key, flow);
    return flow;
  }
}

import type { BodyEvent } from './outside-world.js';

/** The executions of one step's body, with the workers that began them. */
export interface Body {
  runId: string;
  stepKey: string;
  begunBy: string[];
  underWay: boolean;
}

/**
 * Counts the executions of step bodies. The database cannot know which bodies were running in a
 * process that was killed.
 */
export class Bodies {
  private readonly bodies = new Map<string, Body>();
  private readonly waiting = new Map<string, () => void>();

  note({ runId, stepKey, state }: BodyEvent, worker: string): void {
    const key = `${runId} ${stepKey}`;
    const body = this.bodies.get(key) ?? { runId, stepKey, begunBy: [], underWay: false };
    this.bodies.set(key, body);
    body.underWay = state === 'begun';
    if (state !== 'begun') return;
    body.begunBy.push(worker);
    this.waiting.get(key)?.();
  }

  /** Resolves when the body of the step begins. */
  begun(runId: string, stepKey: string): Promise<void> {
    return new Promise((resolve) => this.waiting.set(`${runId} ${stepKey}`, resolve));
  }

  underWay(): Body[] {
    return this.all().filter((body) => body.underWay);
  }

  all(): Body[] {
    return [...this.bodies.values()].sort((a, b) => a.runId.localeCompare(b.runId));
  }
}

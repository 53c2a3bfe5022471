import { ANY_VERSION, type ClaimKey } from '../core/run.js';
import type { WorkflowDefinition } from '../engine/ports.js';

/** The workflows that this process can execute. */
export class WorkflowRegistry {
  private readonly definitions = new Map<string, Map<number, WorkflowDefinition>>();

  constructor(definitions: Iterable<WorkflowDefinition>) {
    for (const definition of definitions) {
      const versions = this.definitions.get(definition.name) ?? new Map<number, WorkflowDefinition>();
      versions.set(definition.version, definition);
      this.definitions.set(definition.name, versions);
    }
  }

  get isEmpty(): boolean {
    return this.definitions.size === 0;
  }

  /** Queues in which runs of these workflows are started. */
  get queues(): string[] {
    return [...this.definitions.values()].flatMap((versions) => [...versions.values()].map(({ queue }) => queue));
  }

  find(name: string, version: number): WorkflowDefinition | undefined {
    return this.definitions.get(name)?.get(version);
  }

  /**
   * Returns every combination that a claim may name: each queue with each version of each workflow.
   * Runs that were started without a version have a key of their own.
   */
  keys(queues: readonly string[]): ClaimKey[] {
    const keys: ClaimKey[] = [];
    for (const queue of queues) {
      for (const [name, versions] of this.definitions) {
        for (const [version, { runTimeoutMs = null }] of versions) keys.push({ queue, name, version, timeoutMs: runTimeoutMs });
        keys.push({ queue, name, version: ANY_VERSION });
      }
    }
    return keys;
  }
}

import type { StandardSchema } from './standard-schema.js';

/** A bound, not a limit: a payload whose schema is forgotten is checked when it is taken. */
const MAX_SCHEMAS = 10_000;

/**
 * The schemas of hooks that passes of this process have made, by token: what comes for them is checked before it is accepted. By token and not by step,
 * because two branches of a workflow may make different hooks in the same step, and nobody's payload may be refused for the other's schema.
 */
export class HookSchemas {
  private readonly schemas = new Map<string, StandardSchema>();

  /** Forgets the one that has not been noted for longest when there are too many. */
  note(token: string, schema: StandardSchema): void {
    this.schemas.delete(token);
    this.schemas.set(token, schema);
    if (this.schemas.size <= MAX_SCHEMAS) return;
    for (const oldest of this.schemas.keys()) {
      this.schemas.delete(oldest);
      return;
    }
  }

  find(token: string): StandardSchema | undefined {
    return this.schemas.get(token);
  }

  forget(token: string): void {
    this.schemas.delete(token);
  }
}

import type { StandardSchema } from './standard-schema.js';

/**
 * Most schemas that are kept. A payload whose schema was dropped is still checked, when the
 * workflow receives it.
 */
const MAX_SCHEMAS = 10_000;

/**
 * Schemas of the hooks that workflows in this process have made, by token. A payload is checked
 * before it is accepted. The key is the token and not the step, because two branches of a workflow
 * may make different hooks in the same step. A payload of one hook must not be refused by the
 * schema of the other.
 */
export class HookSchemas {
  private readonly schemas = new Map<string, StandardSchema>();

  /** Adds a schema. Drops the oldest schema when there are too many. */
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

import type { StandardSchema } from './standard-schema.js';

/**
 * Largest number of schemas that are kept in memory. When the schema of a hook was dropped, a
 * payload for the hook is accepted unchecked, and is checked when the workflow receives it.
 */
const MAX_SCHEMAS = 10_000;

/**
 * Schemas of the hooks that workflows in this process have created, by hook token. With the schema,
 * a payload is checked before it is accepted. The token is the key, because two branches of a
 * workflow may create different hooks under the same step key. The schema of one hook must not
 * refuse a payload of the other hook.
 */
export class HookSchemas {
  private readonly schemas = new Map<string, StandardSchema>();

  /**
   * Adds the schema of a hook. Drops the oldest schema when there would be more than `MAX_SCHEMAS`.
   */
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

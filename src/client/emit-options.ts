// These types are public, and an application may compile them without the types of pg. An import
// from emitter.ts would need the types of pg.
import type { ManagerOption } from './transactions/manager-option.js';

/** Options of `client.emit`. */
export interface ClientEmitOptions {
  /**
   * Id of the event, at most 255 characters. An event with this name and id that was emitted before
   * is not emitted again. (default: a new ULID)
   */
  id?: string;
  /**
   * Manager of an open transaction that the event joins. The event happens when the transaction
   * commits. `'none'` joins no transaction, not even that of `currentTransaction`. (default: the
   * transaction of `currentTransaction`, if there is one)
   */
  manager?: ManagerOption;
}

import { createHmac } from 'node:crypto';

import { HookNotFoundError, InboxFullError, InvalidInputError, RunEndedError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { encode } from '../core/serializer/index.js';
import { validate } from '../core/standard-schema.js';
import { describeHook, resumeHook, type HookDescription } from '../store/sql/hooks.js';
import type { ClientDependencies } from './dependencies.js';

/** What comes for a hook. */
export interface HookPayload {
  readonly body: unknown;
  /** Those that the hook asks for. */
  readonly headers: Readonly<Record<string, string>>;
  /** The sender's name for this delivery. */
  readonly deliveryId: string | undefined;
}

/** Where payloads for hooks come in, from `client.resumeHook` and by HTTP. */
export class HookIntake {
  constructor(private readonly dependencies: ClientDependencies) {}

  /**
   * The hook of that token.
   *
   * @throws HookNotFoundError, RunEndedError
   */
  async find(token: string): Promise<HookDescription> {
    const hook = await describeHook(this.dependencies.database, token);
    if (!hook) throw new HookNotFoundError();
    if (!hook.isClosed) return hook;
    this.dependencies.hookSchemas.forget(token);
    throw new RunEndedError(hook.runId);
  }

  /**
   * Leaves a payload for whoever waits for the hook. When the promise resolves it is durable, unless it had been sent before.
   *
   * @returns `repeated` when the delivery was accepted before, `contradicted` when it was and had another body
   * @throws InvalidInputError with issues when it does not fit the hook's schema; SerializationError, PayloadTooLargeError
   * @throws HookNotFoundError, RunEndedError when the hook has been closed since it was found
   * @throws InboxFullError when too much waits for the run already
   */
  async accept(hook: HookDescription, { body, headers, deliveryId }: HookPayload): Promise<'accepted' | 'repeated' | 'contradicted'> {
    const { database, payloads, hookSchemas } = this.dependencies;
    const schema = hookSchemas.find(hook.token);
    // What the schema makes of it is left to the run, which does it once: here it is only asked.
    if (schema) await validate(schema, body, 'payload');
    const value = hook.headers.length > 0 ? { body, headers } : body;
    const payload = payloads.encode(value, 'payload', hook.runId, 'message');
    const digest = deliveryId === undefined ? '' : digestOf(hook.token, body);
    // Through the codec like the body: whoever reads the database could find out by trying what a short body was.
    const sealed = (): string => payloads.encode(digest, 'payload', hook.runId, 'message');
    const delivery = deliveryId === undefined ? null : { id: checkText(deliveryId, 'delivery id'), digest: sealed() };
    const resumed = await resumeHook(database, hook.token, payload, delivery);
    if (!resumed) throw new HookNotFoundError();
    if (resumed.outcome === 'full') throw new InboxFullError(resumed.runId);
    if (resumed.outcome === 'closed') throw new RunEndedError(resumed.runId);
    if (resumed.outcome === 'accepted') await this.dependencies.notifier.notify([resumed.runId]);
    return resumed.outcome === 'known' ? this.compare(resumed.digest, digest) : 'accepted';
  }

  /** A digest that this process cannot read, or that is gone, contradicts nothing: senders repeat what is not answered with 2xx. */
  private compare(stored: string | undefined, digest: string): 'repeated' | 'contradicted' {
    try {
      return stored === undefined || this.dependencies.payloads.decode(stored, 'digest') === digest ? 'repeated' : 'contradicted';
    } catch {
      return 'repeated';
    }
  }
}

/** Tells bodies apart. */
function digestOf(token: string, body: unknown): string {
  return createHmac('sha256', token).update(encode(body, 'payload')).digest('hex');
}

/** Whether the sender's payload is at fault, and not the schema itself. */
export function isMisfit(error: unknown): error is InvalidInputError {
  return error instanceof InvalidInputError && error.issues.length > 0;
}

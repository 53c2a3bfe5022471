import { createHmac } from 'node:crypto';

import { HookNotFoundError, InboxFullError, InvalidInputError, RunEndedError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { encode } from '../core/serializer/index.js';
import { sendWithin, tracer } from '../core/tracing.js';
import { validate } from '../core/standard-schema.js';
import { describeHook, resumeHook, type HookDescription } from '../store/sql/hooks.js';
import type { ClientDependencies } from './dependencies.js';

/** A payload that was sent to a hook. */
export interface HookPayload {
  readonly body: unknown;
  /** Request headers that the hook has selected. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Id that the sender gave this delivery. When the sender repeats a delivery, the id stays the
   * same.
   */
  readonly deliveryId: string | undefined;
}

/** Accepts payloads for hooks, from `client.resumeHook` and over HTTP. */
export class HookIntake {
  constructor(private readonly dependencies: ClientDependencies) {}

  /**
   * Finds the open hook with this token.
   *
   * @throws HookNotFoundError when no run has a hook with this token
   * @throws RunEndedError when the hook is closed
   */
  async find(token: string): Promise<HookDescription> {
    const hook = await describeHook(this.dependencies.database, token);
    if (!hook) throw new HookNotFoundError();
    if (!hook.isClosed) return hook;
    this.dependencies.hookSchemas.forget(token);
    throw new RunEndedError(hook.runId);
  }

  /**
   * Stores a payload for the run that waits for the hook, and notifies the run. The payload is
   * durable when the promise resolves.
   *
   * @returns `repeated` when this delivery was accepted before; `contradicted` when it was accepted
   *   with another body
   * @throws InvalidInputError with issues when the payload does not match the hook's schema
   * @throws SerializationError, PayloadTooLargeError
   * @throws HookNotFoundError, RunEndedError when the hook was closed after the lookup
   * @throws InboxFullError when the run has too many unread messages
   */
  accept(hook: HookDescription, payload: HookPayload): Promise<'accepted' | 'repeated' | 'contradicted'> {
    if (!tracer) return this.store(hook, payload, null);
    return sendWithin(tracer.send('hook', hook.runId), (traceContext) => this.store(hook, payload, traceContext));
  }

  private async store(
    hook: HookDescription,
    { body, headers, deliveryId }: HookPayload,
    traceContext: string | null,
  ): Promise<'accepted' | 'repeated' | 'contradicted'> {
    const { database, payloads, hookSchemas } = this.dependencies;
    const schema = hookSchemas.find(hook.token);
    // Only validates the payload, and stores the value that was sent. The run applies the schema
    // and uses its output. If this process stored the output, the schema would convert a value that
    // it has converted already.
    if (schema) await validate(schema, body, 'payload');
    const value = hook.headers.length > 0 ? { body, headers } : body;
    const payload = payloads.encode(value, 'payload', hook.runId, 'message');
    const digest = deliveryId === undefined ? '' : digestOf(hook.token, body);
    // The codec, which may encrypt, also encodes the digest. Otherwise, someone who can read the
    // database could guess a short body by comparing digests.
    const sealed = (): string => payloads.encode(digest, 'payload', hook.runId, 'message');
    const delivery = deliveryId === undefined ? null : { id: checkText(deliveryId, 'delivery id'), digest: sealed() };
    const resumed = await resumeHook(database, hook.token, payload, delivery, traceContext);
    if (!resumed) throw new HookNotFoundError();
    if (resumed.outcome === 'full') throw new InboxFullError(resumed.runId);
    if (resumed.outcome === 'closed') throw new RunEndedError(resumed.runId);
    if (resumed.outcome === 'accepted') await this.dependencies.notifier.notify([resumed.runId]);
    return resumed.outcome === 'known' ? this.compare(resumed.digest, digest) : 'accepted';
  }

  /**
   * Compares the digests of a repeated delivery. Treats a digest that is deleted or unreadable in
   * this process as equal, because an error would make the sender repeat the delivery.
   */
  private compare(stored: string | undefined, digest: string): 'repeated' | 'contradicted' {
    try {
      return stored === undefined || this.dependencies.payloads.decode(stored, 'digest') === digest ? 'repeated' : 'contradicted';
    } catch {
      return 'repeated';
    }
  }
}

/** Computes the digest of a body, with the hook's token as the key. */
function digestOf(token: string, body: unknown): string {
  return createHmac('sha256', token).update(encode(body, 'payload')).digest('hex');
}

/**
 * True for an error about a payload that does not match the schema. False when the schema itself
 * failed.
 */
export function isMisfit(error: unknown): error is InvalidInputError {
  return error instanceof InvalidInputError && error.issues.length > 0;
}

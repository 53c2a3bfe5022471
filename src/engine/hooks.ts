import { randomBytes } from 'node:crypto';

import { checkOptions } from '../core/check-options.js';
import type { Duration } from '../core/duration.js';
import { HookConflictError, InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { channelOf } from '../core/message-kinds.js';
import { HOOK_STEP } from '../core/step-key-format.js';
import { isStandardSchema, validate, type StandardSchema } from '../core/standard-schema.js';
import type { Call } from './call.js';
import { ignoreUnhandled, NO_OPTIONS } from './call-step.js';
import { inScope } from './current.js';
import type { Message, Verdict } from './message.js';
import type { Hook, HookOptions, HookRequest } from './context-options.js';
import type { PassHandle } from './pass-handle.js';
import { beginStep } from './step-runner.js';
import { beginWait, deadlineOf, type WaitSpec } from './wait.js';

interface HookRecord {
  readonly token: string;
  /** Id of the run that has the token; absent when this run has it. */
  readonly owner?: string;
}

/** Checked options of a hook. */
interface HookSettings {
  readonly token: string | undefined;
  readonly schema: StandardSchema | undefined;
  readonly headers: readonly string[];
  readonly verify: string | null;
  readonly idempotencyHeader: string | null;
}

const UNGUESSABLE_BYTES = 32;
const MIN_TOKEN_LENGTH = 16;

/**
 * Creates a hook. When the promise resolves, the hook is durable and no other run has its token.
 */
export async function createHook(pass: PassHandle, options: HookOptions = {}): Promise<Hook<unknown>> {
  const { token: wanted, schema, ...hook } = checkHook(options);
  const { definition } = pass;
  const begin = (call: Call): void => {
    const body = async (): Promise<HookRecord> => {
      const token = wanted ?? randomBytes(UNGUESSABLE_BYTES).toString('base64url');
      return pass.effects.createHook({ stepKey: call.stepKey, token, ...hook });
    };
    beginStep(pass, call, { ...NO_OPTIONS, retry: definition.retry, timeoutMs: definition.stepTimeoutMs, body });
  };
  const record = (await pass.call({ kind: 'step', name: HOOK_STEP, begin })) as HookRecord;
  if (record.owner !== undefined) throw new HookConflictError(record.token, record.owner);
  if (schema) pass.settings.hookSchemas.note(record.token, schema);
  return new PassHook(pass, record.token, schema, hook.headers.length > 0 ? 'request' : 'body');
}

function checkHook(options: HookOptions): HookSettings {
  const given = checkOptions(options, 'options', ['token', 'schema', 'headers', 'verify', 'idempotencyHeader']);
  const { token, schema, headers, verify, idempotencyHeader } = given;
  if (token !== undefined && checkText(token, 'options.token').length < MIN_TOKEN_LENGTH)
    throw new InvalidInputError('options.token', `must have at least ${MIN_TOKEN_LENGTH} characters: whoever guesses it resumes the run`);
  if (schema !== undefined && !isStandardSchema(schema))
    throw new InvalidInputError('options.schema', 'must be a schema of a library that follows https://standardschema.dev');
  if (headers !== undefined && (!Array.isArray(headers) || headers.length === 0))
    throw new InvalidInputError('options.headers', 'must be an array of at least one name');
  return {
    token,
    schema,
    headers: (headers ?? []).map((header, index) => checkHeader(header, `options.headers[${index}]`)),
    verify: verify === undefined ? null : checkText(verify, 'options.verify'),
    idempotencyHeader: idempotencyHeader === undefined ? null : checkHeader(idempotencyHeader, 'options.idempotencyHeader'),
  };
}

function checkHeader(name: unknown, argument: string): string {
  const text = checkText(name, argument);
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(text)) throw new InvalidInputError(argument, 'must be the name of a header');
  return text.toLowerCase();
}

class PassHook implements Hook<unknown> {
  readonly #pass: PassHandle;
  readonly #schema: StandardSchema | undefined;
  readonly #shape: 'body' | 'request';

  constructor(
    pass: PassHandle,
    readonly token: string,
    schema: StandardSchema | undefined,
    shape: 'body' | 'request',
  ) {
    this.#pass = pass;
    this.#schema = schema;
    this.#shape = shape;
  }

  get url(): string {
    return this.#pass.settings.hookUrl(this.token);
  }

  wait(options: { timeout?: Duration | Date; signal?: AbortSignal } = {}): Promise<never> {
    const pass = this.#pass;
    const { token } = this;
    const schema = this.#schema;
    checkOptions(options, 'options', ['timeout', 'signal']);
    const spec: WaitSpec = {
      kind: 'hook',
      name: token,
      wakeAt: deadlineOf(pass, options.timeout, 'options.timeout'),
      expired: () => ({ output: 'null', attempts: 1 }),
      channel: channelOf('hook', token),
      taken: ({ payload }) => ({ output: payload, attempts: 1 }),
      ...(schema ? { validate: (message: Message) => validatePayload(pass, schema, this.#shape, message) } : {}),
    };
    return pass.call({
      kind: 'hook',
      name: 'hook.wait',
      begin: (call) => beginWait(pass, call, spec),
      signal: options.signal,
    }) as Promise<never>;
  }

  [Symbol.asyncIterator](): AsyncIterator<never> {
    return {
      next: () => ignoreUnhandled(async () => ({ value: await this.wait(), done: false as const })),
      return: async () => ({ value: undefined, done: true as const }),
    };
  }
}

/**
 * Validates a payload with the schema of its hook. A schema that throws makes the wait fail,
 * because the mistake is in the code and not in the payload.
 */
async function validatePayload(pass: PassHandle, schema: StandardSchema, shape: 'body' | 'request', message: Message): Promise<Verdict> {
  let value: unknown;
  try {
    value = pass.settings.payloads.decode(message.payload, 'payload');
  } catch {
    // Passes on the payload unchanged. Its delivery will fail, and the run then waits for a
    // deployment that can decode the payload.
    return { settlement: { output: message.payload, attempts: 1 } };
  }
  const scope = { pass, step: undefined, span: pass.span };
  const fitting = (body: unknown): Promise<unknown> => inScope(scope, async () => validate(schema, body, 'payload'));
  try {
    const result =
      shape === 'body'
        ? await fitting(value)
        : { ...(value as HookRequest<unknown>), body: await fitting((value as HookRequest<unknown>).body) };
    return { settlement: { output: pass.encode(result, 'payload'), attempts: 1 } };
  } catch (error) {
    if (error instanceof InvalidInputError && error.issues.length > 0) return { refusal: error };
    return { settlement: { error: pass.encodeError(error), attempts: 1 } };
  }
}

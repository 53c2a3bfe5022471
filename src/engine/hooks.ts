import { randomBytes } from 'node:crypto';

import { checkOptions } from '../core/check-options.js';
import type { Duration } from '../core/duration.js';
import { HookConflictError, InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { NO_OPTIONS } from './call-step.js';
import type { Hook, HookOptions } from './operations.js';
import type { PassHandle } from './pass-handle.js';
import { beginStep } from './step-runner.js';
import { beginWait, deadlineOf, type WaitSpec } from './wait.js';

interface HookRecord {
  readonly token: string;
  /** The run that has the token. */
  readonly owner?: string;
}

const UNGUESSABLE_BYTES = 32;
const SHORTEST_TOKEN = 16;

/** Makes a hook; it is durable, and its token known to be unique, when the promise resolves. */
export async function createHook(pass: PassHandle, options: HookOptions = {}): Promise<Hook<unknown>> {
  checkOptions(options, 'options', ['token', 'headers', 'verify']);
  const { token: wanted, headers = [], verify } = options;
  if (wanted !== undefined && checkText(wanted, 'options.token').length < SHORTEST_TOKEN)
    throw new InvalidInputError('options.token', `must have at least ${SHORTEST_TOKEN} characters: whoever guesses it resumes the run`);
  if (!Array.isArray(headers)) throw new InvalidInputError('options.headers', 'must be an array of names');
  const names = headers.map((header, index) => checkText(header, `options.headers[${index}]`).toLowerCase());
  if (verify !== undefined) checkText(verify, 'options.verify');
  const { definition } = pass;
  const record = (await pass.call('step', 'hook', undefined, null, (call) => {
    const body = async (): Promise<HookRecord> => {
      const token = wanted ?? randomBytes(UNGUESSABLE_BYTES).toString('base64url');
      const hook = { stepKey: call.stepKey, token, headers: names, verify: verify ?? null };
      return pass.effects.createHook(hook);
    };
    beginStep(pass, call, { ...NO_OPTIONS, retry: definition.retry, timeoutMs: definition.stepTimeoutMs, body });
  })) as HookRecord;
  if (record.owner !== undefined) throw new HookConflictError(record.token, record.owner);
  return new PassHook(pass, record.token);
}

class PassHook implements Hook<unknown> {
  readonly #pass: PassHandle;

  constructor(
    pass: PassHandle,
    readonly token: string,
  ) {
    this.#pass = pass;
  }

  get url(): string {
    return this.#pass.settings.hookUrl(this.token);
  }

  wait(options: { timeout?: Duration | Date; signal?: AbortSignal } = {}): Promise<never> {
    const pass = this.#pass;
    const { token } = this;
    checkOptions(options, 'options', ['timeout', 'signal']);
    const spec: WaitSpec = {
      kind: 'hook',
      name: token,
      wakeAt: deadlineOf(pass, options.timeout, 'options.timeout'),
      expired: () => ({ output: 'null', attempts: 1 }),
      channel: `hook:${token}`,
      taken: ({ payload }) => ({ output: payload, attempts: 1 }),
    };
    return pass.call('hook', 'hook.wait', undefined, null, (call) => beginWait(pass, call, spec), options) as Promise<never>;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator {
    for (;;) yield await this.wait();
  }
}

import { defineSignal } from '../../core/signal.js';
import { usageError } from '../errors.js';
import { EXIT } from '../exit-codes.js';
import type { Action } from '../action.js';

/** Sends a signal to a run. */
export const signal: Action = async ({ given, io, printer, connect }) => {
  const [runId = '', name = '', text] = given.positionals;
  const payload = text === undefined ? undefined : parse(text === '-' ? textOf(await io.readInput()) : text);
  const idempotencyKey = given.text('idempotency-key');
  const { client } = await connect();
  await client.signal(runId, defineSignal<unknown>(name), payload, idempotencyKey === undefined ? {} : { idempotencyKey });
  await printer.result(`Sent signal "${name}" to run "${runId}".`, { runId, signal: name });
  return EXIT.ok;
};

/** Decodes stdin. Replacement characters in the payload would hide that bytes were lost. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw usageError('PAYLOAD on stdin must be UTF-8');
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw usageError('PAYLOAD must be JSON: a text needs double quotes inside the quotes of the shell, as in \'"yes"\'');
  }
}

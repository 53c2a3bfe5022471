import type { ExportedHistory } from '../client/queries/exported-history.js';
import { HISTORY_FORMAT, HISTORY_FORMAT_VERSION } from '../client/queries/exported-history.js';
import { InvalidInputError, PayloadUnreadableError } from '../core/errors/index.js';
import type { Payloads } from '../core/payloads.js';

type Fields = Record<string, unknown>;

/**
 * Reads an exported history, and checks every part that a replay uses.
 *
 * @throws InvalidInputError when the history is no export, is damaged, or has another format
 *   version
 */
export function readHistory(given: ExportedHistory | string): ExportedHistory {
  let history: unknown = given;
  try {
    if (typeof given === 'string') history = JSON.parse(given);
  } catch (cause) {
    throw new InvalidInputError('history', 'must be JSON text', { cause });
  }
  const { format, formatVersion, workflow, run, outcome, history: records } = (history ?? {}) as Fields;
  if (format !== HISTORY_FORMAT || !isObject(records)) {
    throw new InvalidInputError('history', 'must be the result of client.exportHistory() or of npx nestjs-durable export');
  }
  if (formatVersion !== HISTORY_FORMAT_VERSION) {
    throw new InvalidInputError(
      'history',
      `has format version ${String(formatVersion)}, and this version of nestjs-durable reads ${HISTORY_FORMAT_VERSION}`,
    );
  }
  check('workflow', hasTypes(workflow, { name: 'string', version: 'number' }));
  check('run', hasTypes(run, { id: 'string', input: 'string', startedAt: 'number', generation: 'number', seedId: 'string' }));
  check('outcome', outcome === null || isOutcome(outcome));
  check('history.steps', areAll(records['steps'], { stepKey: 'string', kind: 'string', seq: 'number', status: 'string' }));
  check('history.waits', areAll(records['waits'], { stepKey: 'string', kind: 'string', attempts: 'number' }));
  return history as ExportedHistory;
}

/**
 * Checks that the input and the result of a history can be decoded.
 *
 * @throws InvalidInputError naming the payload, with the PayloadUnreadableError as its cause
 */
export function checkPayloads({ run, outcome }: ExportedHistory, payloads: Payloads): void {
  const decoded: [part: string, read: () => unknown][] = [['run.input', () => payloads.decode(run.input, 'input')]];
  if (outcome?.status === 'completed') {
    decoded.push(['outcome.output', () => payloads.decode(outcome.output, 'output')]);
    const next = outcome.continuedAs?.input;
    if (typeof next === 'string') decoded.push(['outcome.continuedAs.input', () => payloads.decode(next, 'input')]);
  }
  for (const [part, read] of decoded) {
    try {
      read();
    } catch (cause) {
      if (!(cause instanceof PayloadUnreadableError)) throw cause;
      const problem = `has a payload in ${part} that cannot be decoded: options.codec must be the codec of the application`;
      throw new InvalidInputError('history', problem, { cause });
    }
  }
}

function check(part: string, isValid: boolean): void {
  if (!isValid) throw new InvalidInputError('history', `is damaged: ${part} is not as client.exportHistory() returns it`);
}

function isOutcome(outcome: unknown): boolean {
  if (!isObject(outcome)) return false;
  const { status, failure } = outcome;
  if (status === 'completed') return typeof outcome['output'] === 'string';
  if (typeof outcome['error'] !== 'string') return false;
  return status === 'cancelled' || (status === 'failed' && hasTypes(failure, { code: 'string' }));
}

function areAll(records: unknown, types: Readonly<Record<string, string>>): boolean {
  return Array.isArray(records) && records.every((record) => hasTypes(record, types));
}

function hasTypes(value: unknown, types: Readonly<Record<string, string>>): boolean {
  return isObject(value) && Object.entries(types).every(([field, type]) => typeof value[field] === type);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

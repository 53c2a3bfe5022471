import { InvalidInputError, type InputIssue } from './errors/index.js';
import { formatPath } from './serializer/path.js';

/**
 * A schema of any library that follows https://standardschema.dev (version 1): zod, valibot,
 * arktype and others. The interface is copied from the specification, so that this package needs no
 * dependency for it.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** Result of a validation: the output of the schema, or the problems that the schema found. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** Problem that a schema found in a value. */
export interface StandardIssue {
  /** Description of the problem. */
  readonly message: string;
  /** Path to the place in the value. Absent when the problem concerns the whole value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * True for a schema that follows https://standardschema.dev. Some libraries implement schemas as
 * objects, others as functions.
 */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  try {
    const standard = (value as { '~standard'?: { version?: unknown; validate?: unknown } })['~standard'];
    return typeof standard === 'object' && standard !== null && standard.version === 1 && typeof standard.validate === 'function';
  } catch {
    return false;
  }
}

/**
 * Validates a value. Returns the output of the schema, for example with defaults filled in or texts
 * turned into numbers.
 *
 * @param argument the name of the value in errors
 * @throws InvalidInputError when the schema throws, or when the value does not fit the schema. For
 *   a value that does not fit, the error has the schema's `issues`, and its `argument` is the path
 *   of the first issue
 */
export async function validate(schema: StandardSchema, value: unknown, argument: string): Promise<unknown> {
  let result: StandardResult<unknown>;
  try {
    result = await schema['~standard'].validate(value);
    if (!result.issues) return result.value;
  } catch (cause) {
    throw new InvalidInputError(argument, 'could not be checked: its schema threw', { cause });
  }
  throw refusal(argument, result.issues);
}

function refusal(argument: string, found: readonly StandardIssue[]): InvalidInputError {
  const issues: InputIssue[] = found.map(({ message, path }) => ({ message, path: (path ?? []).map(keyOf) }));
  const shown = issues
    .slice(0, MAX_SHOWN_ISSUES)
    .map(({ message, path }) => `${pathOf(argument, path)}: ${message.slice(0, MAX_MESSAGE_LENGTH)}`);
  const more = issues.length > MAX_SHOWN_ISSUES ? `; and ${issues.length - MAX_SHOWN_ISSUES} more` : '';
  return new InvalidInputError(pathOf(argument, issues[0]?.path ?? []), `does not fit the schema (${shown.join('; ')}${more})`, {
    issues,
  });
}

const MAX_SHOWN_ISSUES = 5;
const MAX_MESSAGE_LENGTH = 200;

function keyOf(segment: PropertyKey | { readonly key: PropertyKey }): PropertyKey {
  return typeof segment === 'object' ? segment.key : segment;
}

function pathOf(argument: string, path: readonly PropertyKey[]): string {
  return formatPath(
    argument,
    path.map((key) => (typeof key === 'symbol' ? String(key) : key)),
  );
}

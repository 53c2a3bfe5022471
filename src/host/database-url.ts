import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { settingsOfUrl, type ConnectionSettings } from '../store/connection-settings.js';

const EXAMPLE = 'postgresql://user:password@host:5432/database';

/**
 * Reads the URL of a database. Errors never show the URL, because it contains the password.
 *
 * @param argument name of the option or variable that contains the URL
 * @param ssl the option `ssl`, which takes precedence over the TLS parameters in the URL
 * @throws InvalidInputError when pg could not connect with the URL, or would connect to something
 *   other than what was meant
 */
export function readDatabaseUrl(url: unknown, argument: string, ssl?: ConnectionSettings['ssl']): ConnectionSettings {
  if (typeof url !== 'string' || !/^(postgres(ql)?:\/\/|socket:)/i.test(url) || url.includes('\0')) {
    throw new InvalidInputError(argument, `must be a URL such as ${EXAMPLE}`);
  }
  const [, authority = '', path = ''] = /^\w+:(?:\/\/([^/?#]*))?([^?#]*)/.exec(url)!;
  if (url.includes('#') || (path.includes('@') && !authority.includes('@'))) {
    throw new InvalidInputError(argument, 'has an unescaped character in its password: write # as %23, / as %2F, ? as %3F, @ as %40');
  }
  if (authority.slice(authority.lastIndexOf('@') + 1).includes(',')) {
    throw new InvalidInputError(argument, 'names several hosts, and pg connects to one: name that, or a proxy in front of them');
  }
  try {
    return settingsOfUrl(url, ssl);
  } catch (error) {
    if (error instanceof InvalidInputError) throw error;
    if (error instanceof WorkflowConfigurationError) throw new InvalidInputError(argument, error.message);
    throw new InvalidInputError(argument, `cannot be read${reasonOf(error)}. It must be a URL such as ${EXAMPLE}`);
  }
}

/** Returns the reason why pg cannot read a URL; empty when the reason might reveal the URL. */
function reasonOf(error: unknown): string {
  if (error instanceof URIError) return ': % must be followed by two hexadecimal digits; write a % itself as %25';
  const { code, path } = error as { code?: unknown; path?: unknown };
  if (typeof path === 'string') return `: ${String(code)} for the file ${path}`;
  return error instanceof Error && /sslnegotiation|sslmode/.test(error.message) ? `: ${error.message}` : '';
}

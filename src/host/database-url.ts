import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { settingsOfUrl, type ConnectionSettings } from '../store/connection-settings.js';

const EXAMPLE = 'postgresql://user:password@host:5432/database';

/**
 * Reads the URL of a database. No error shows the URL, which has the password in it.
 *
 * @param argument the option or variable that the URL comes from
 * @param ssl the option beside it, which wins over the URL's TLS parameters
 * @throws InvalidInputError when pg could not connect with it, or would connect to something else
 *   than what was meant
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

/** The reason why pg cannot read a URL, as far as it does not show the URL. */
function reasonOf(error: unknown): string {
  if (error instanceof URIError) return ': % must be followed by two hexadecimal digits; write a % itself as %25';
  const { code, path } = error as { code?: unknown; path?: unknown };
  if (typeof path === 'string') return `: ${String(code)} for the file ${path}`;
  return error instanceof Error && /sslnegotiation|sslmode/.test(error.message) ? `: ${error.message}` : '';
}

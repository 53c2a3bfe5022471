import type { QStashTransport } from './transport.js';

/** Request, together with the address that its signature must contain. */
interface SignedRequest {
  readonly qstash: QStashTransport;
  readonly signature: string | string[] | undefined;
  readonly body: string;
  readonly url: string;
}

/**
 * Returns true when QStash has signed a request for this address. Warns when a valid signature
 * shows a mistake in the deployment, such as a wrong address.
 */
export async function isSigned(
  { qstash, signature, body, url }: SignedRequest,
  warn: (message: string, error: Error) => void,
): Promise<boolean> {
  if (typeof signature !== 'string' || signature === '') return false;
  const { api } = qstash;
  if (await api.isGenuine(signature, body, url)) return true;
  const subject = subjectOf(signature);
  if (subject === undefined) return false;
  // Warn only if QStash itself has signed the request. Otherwise any sender could write text into
  // the log.
  const isElsewhere = subject !== url && (await api.isGenuine(signature, body, subject));
  const { pathname } = new URL(url);
  // The two warnings have different texts, and each is limited separately. Constant requests of a
  // stranger must not suppress the warning about the address.
  if (isElsewhere) {
    const signedFor = `signed for ${JSON.stringify(subject.slice(0, 300))}, but expected ${url}`;
    const hint = 'QSTASH_TARGET_URL (qstash.targetUrl) must be the address that QStash calls';
    warn('a request of QStash was answered with 401', new Error(`${pathname}: ${signedFor}: ${hint}`));
  } else {
    const why =
      'signed with other keys than qstash.currentSigningKey and nextSigningKey, or more than five minutes ago, or over another body';
    warn('a request was answered with 401', new Error(`${pathname}: ${why}`));
  }
  return false;
}

/**
 * Returns the address for which a signature (a JSON Web Token) was made; undefined when the text is
 * not a token.
 */
function subjectOf(signature: string): string | undefined {
  try {
    const { sub } = JSON.parse(Buffer.from(signature.split('.')[1] ?? '', 'base64url').toString()) as { sub?: unknown };
    return typeof sub === 'string' ? sub : undefined;
  } catch {
    return undefined;
  }
}

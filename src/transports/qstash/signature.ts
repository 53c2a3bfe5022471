import type { Warn } from '../../core/log-fields.js';
import type { QStashTransport } from './transport.js';

/** Request, together with the address that its signature must contain. */
interface SignedRequest {
  readonly qstash: QStashTransport;
  readonly signature: string | string[] | undefined;
  readonly body: string;
  readonly url: string;
}

/**
 * Returns true when QStash has signed a request for this address. Otherwise warns, if the request
 * has a token, about the mistake in the deployment that the token indicates: a wrong address, or
 * wrong keys.
 */
export async function isSigned({ qstash, signature, body, url }: SignedRequest, warn: Warn): Promise<boolean> {
  if (typeof signature !== 'string' || signature === '') return false;
  const { api } = qstash;
  if (await api.isGenuine(signature, body, url)) return true;
  const subject = subjectOf(signature);
  if (subject === undefined) return false;
  // Write the token's address to the log only if QStash itself has signed the request. Otherwise
  // any sender could write text of its choice to the log.
  const isElsewhere = subject !== url && (await api.isGenuine(signature, body, subject));
  const { pathname } = new URL(url);
  // The two warnings have different texts, because the log limits the warnings of each text
  // separately. A stranger who sends many requests must not suppress the warning about the address.
  if (isElsewhere) {
    const signedFor = `signed for ${JSON.stringify(subject.slice(0, 300))}, but expected ${url}`;
    const hint = 'QSTASH_TARGET_URL (qstash.targetUrl) must be the address that QStash calls';
    warn('qstash-wrong-address', 'qstash: answered a request of QStash with 401', new Error(`${pathname}: ${signedFor}: ${hint}`));
  } else {
    const why =
      'signed with other keys than qstash.currentSigningKey and nextSigningKey, or more than five minutes ago, or over another body';
    warn('qstash-wrong-signature', 'qstash: answered a request with 401', new Error(`${pathname}: ${why}`));
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

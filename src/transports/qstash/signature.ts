import type { QStashTransport } from './transport.js';

/** A request, and the address that it must have been signed for. */
interface SignedRequest {
  readonly qstash: QStashTransport;
  readonly signature: string | string[] | undefined;
  readonly body: string;
  readonly url: string;
}

/** Whether a request comes from QStash, for this address. What a deployer may have done wrong is told. */
export async function isSigned(
  { qstash, signature, body, url }: SignedRequest,
  warn: (message: string, error: Error) => void,
): Promise<boolean> {
  if (typeof signature !== 'string' || signature === '') return false;
  const { api } = qstash;
  if (await api.isGenuine(signature, body, url)) return true;
  const subject = subjectOf(signature);
  if (subject === undefined) return false;
  // Said only where QStash has signed it: else the log would hold whatever anybody sends.
  const isElsewhere = subject !== url && (await api.isGenuine(signature, body, subject));
  const { pathname } = new URL(url);
  // Two messages: each is told only once in a while, and whoever sends nonsense all the time must not keep the other from being told.
  if (isElsewhere) {
    const signedFor = `signed for ${JSON.stringify(subject.slice(0, 300))}, and taken for ${url}`;
    const hint = 'QSTASH_TARGET_URL (qstash.targetUrl) must be what QStash calls';
    warn('a request of QStash was answered with 401', new Error(`${pathname}: ${signedFor}: ${hint}`));
  } else {
    const why =
      'signed with other keys than qstash.currentSigningKey and nextSigningKey, or more than five minutes ago, or over another body';
    warn('a request was answered with 401', new Error(`${pathname}: ${why}`));
  }
  return false;
}

/** Whom a token says that it is for; undefined for what is no token. */
function subjectOf(signature: string): string | undefined {
  try {
    const { sub } = JSON.parse(Buffer.from(signature.split('.')[1] ?? '', 'base64url').toString()) as { sub?: unknown };
    return typeof sub === 'string' ? sub : undefined;
  } catch {
    return undefined;
  }
}

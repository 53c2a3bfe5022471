import type { QStashTransport } from './qstash-transport.js';

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
  const why = isElsewhere
    ? `signed for ${JSON.stringify(subject.slice(0, 300))}, and taken for ${url}: QSTASH_TARGET_URL (qstash.targetUrl) must be what QStash calls`
    : 'signed with other keys than qstash.currentSigningKey and nextSigningKey, or more than five minutes ago, or over another body';
  warn('a request was answered with 401', new Error(`${new URL(url).pathname}: ${why}`));
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

import { createHash, createHmac, randomUUID } from 'node:crypto';

/** Seconds for which a signature is valid. */
const LIFETIME_SECONDS = 300;

export interface SignatureInput {
  /** Destination: the subject of the token. */
  readonly url: string;
  readonly body: string | Uint8Array;
  readonly signingKey: string;
  readonly issuedAt: Date;
}

/** Returns a value for `Upstash-Signature`: a JWT signed with HS256. */
export function signatureOf({ url, body, signingKey, issuedAt }: SignatureInput): string {
  const iat = Math.floor(issuedAt.getTime() / 1_000);
  const claims = { iss: 'Upstash', sub: url, exp: iat + LIFETIME_SECONDS, nbf: 0, iat, jti: `jwt_${randomUUID()}`, body: hashOf(body) };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', signingKey).update(signed).digest('base64url')}`;
}

/** Returns the hash of a body with padding, as QStash does. */
function hashOf(body: string | Uint8Array): string {
  return `${createHash('sha256').update(body).digest('base64url')}=`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

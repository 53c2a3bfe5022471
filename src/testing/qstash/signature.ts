import { createHash, createHmac, randomUUID } from 'node:crypto';

/** Number of seconds for which a signature is valid. */
const LIFETIME_SECONDS = 300;

export interface SignatureInput {
  /** URL of the destination, which becomes the subject of the JWT. */
  readonly url: string;
  readonly body: string | Uint8Array;
  readonly signingKey: string;
  readonly issuedAt: Date;
}

/** Returns the value of the header `Upstash-Signature`: a JWT that is signed with HS256. */
export function signatureOf({ url, body, signingKey, issuedAt }: SignatureInput): string {
  const iat = Math.floor(issuedAt.getTime() / 1_000);
  const claims = { iss: 'Upstash', sub: url, exp: iat + LIFETIME_SECONDS, nbf: 0, iat, jti: `jwt_${randomUUID()}`, body: hashOf(body) };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', signingKey).update(signed).digest('base64url')}`;
}

/** Returns the SHA-256 hash of a body in base64url with padding, as QStash does. */
function hashOf(body: string | Uint8Array): string {
  return `${createHash('sha256').update(body).digest('base64url')}=`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

// Tokens as a client sees them, and forged ones for tests.

import { createHmac } from 'node:crypto';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** The claims of a token, unchecked. */
export function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
}

/** A token with these claims; `alg` goes into the header as it is. */
export function forge(body, secret, alg = 'HS256') {
  const signed = `${part({ alg, typ: 'JWT' })}.${part(body)}`;
  const hash = { HS384: 'sha384', HS512: 'sha512' }[alg] ?? 'sha256';
  const signature = alg === 'none' ? '' : createHmac(hash, secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}

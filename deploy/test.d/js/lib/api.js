// Calls of the HTTP API.

import { randomBytes } from 'node:crypto';

/** The API answered with an error code. */
export class ApiError extends Error {
  constructor(path, reply) {
    super(`${path}: ${reply.errCode} ${reply.errMsg} ${reply.errDlt}`);
    this.code = reply.errCode;
    this.detail = reply.errDlt;
  }
}

/** Tokens count time in seconds. */
const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1005 - (Date.now() % 1000)));

export class Api {
  #given = new Set();

  constructor(base, secret, adminUserID) {
    this.base = base;
    this.secret = secret;
    this.adminUserID = adminUserID;
    this.adminToken = undefined;
  }

  /** POST with everything in the caller's hand: `{status, headers, text, json}`. */
  async raw(path, { headers = {}, body, method = 'POST' } = {}) {
    const response = await fetch(this.base + path, {
      method,
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, json };
  }

  /** The `data` of the reply; throws ApiError. Without `token` the admin calls. */
  async call(path, body = {}, token = this.adminToken) {
    const headers = { operationID: `test-${randomBytes(6).toString('hex')}`, 'Content-Type': 'application/json' };
    if (token) headers.token = token;
    const reply = await this.raw(path, { headers, body: JSON.stringify(body) });
    if (!reply.json || reply.status !== 200) throw new Error(`${path}: HTTP ${reply.status} ${reply.text}`);
    if (reply.json.errCode !== 0) throw new ApiError(path, reply.json);
    return reply.json.data;
  }

  async loginAdmin() {
    const data = await this.call('/auth/get_admin_token', { secret: this.secret, userID: this.adminUserID }, '');
    this.adminToken = data.token;
  }

  async register(...userIDs) {
    const users = userIDs.map((userID) => ({ userID, nickname: `Nick ${userID}`, faceURL: '' }));
    await this.call('/user/user_register', { users });
  }

  /** A token that was not given before: two of the same second are the same, and so the same login. */
  async token(userID, platformID) {
    for (;;) {
      const { token } = await this.call('/auth/get_user_token', { userID, platformID });
      if (!this.#given.has(token)) {
        this.#given.add(token);
        return token;
      }
      await nextSecond();
    }
  }
}

// A WebSocket client that says whatever it is told to, well-formed or not, and reports how the server ended it.

import { connect } from 'node:net';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';

export const Op = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

const KEY = Buffer.alloc(16, 7).toString('base64');

/**
 * A client's frame. Options bend it: `fin`, `rsv` (three bits), `mask` (false: none), `length` (what the header
 * claims).
 */
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = true, length } = {}) {
  const body = Buffer.from(payload);
  const claimed = BigInt(length ?? body.length);
  const head = [(fin ? 128 : 0) | (rsv << 4) | opcode];
  const bit = mask ? 128 : 0;
  if (claimed < 126n) {
    head.push(bit | Number(claimed));
  } else {
    const bytes = claimed < 65_536n ? 2 : 8;
    head.push(bit | (bytes === 2 ? 126 : 127));
    for (let i = bytes - 1; i >= 0; i--) head.push(Number((claimed >> BigInt(8 * i)) & 255n));
  }
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  const masked = body.map((byte, i) => byte ^ key[i % 4]);
  return Buffer.concat([Buffer.from(head), key, masked]);
}

/** The head of an upgrade request. Undefined header values leave the header out. */
export function upgradeRequest(query, headers = {}, { method = 'GET', version = '1.1' } = {}) {
  const all = {
    Host: 'test',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined);
  return `${method} /?${query} HTTP/${version}\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n`;
}

/** A TCP connection and what came over it. */
export class RawConnection {
  received = Buffer.alloc(0);
  ended = false;
  #socket;
  #waiting = [];

  static async open(url) {
    const { hostname, port } = new URL(url);
    const raw = new RawConnection();
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
    raw.#socket = socket;
    socket.on('data', (part) => {
      raw.received = Buffer.concat([raw.received, part]);
      raw.#wake();
    });
    const over = () => {
      raw.ended = true;
      raw.#wake();
    };
    socket.on('end', over);
    socket.on('close', over);
    // A reset is an end like any other here; `close` follows.
    socket.on('error', () => {});
    await once(socket, 'connect');
    return raw;
  }

  #wake() {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  write(...parts) {
    for (const part of parts) if (!this.#socket.destroyed) this.#socket.write(part);
  }

  /** No more from this side. */
  finish() {
    this.#socket.end();
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  drop() {
    this.#socket.destroy();
  }

  /** Waits until `done()` returns something other than undefined, and returns it. */
  async until(done, what, limit = 10_000) {
    const end = Date.now() + limit;
    for (;;) {
      const result = done();
      if (result !== undefined) return result;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`${what}: not within ${limit} ms; got ${this.received.subarray(0, 300)}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Waits for the server's end of the connection. */
  async end(limit) {
    await this.until(() => (this.ended ? true : undefined), 'the end of the connection', limit);
    this.#socket.destroy();
  }

  /** Takes the head of an HTTP reply: `{status, text}`. */
  async httpHead() {
    const at = await this.until(() => {
      const found = this.received.indexOf('\r\n\r\n');
      if (found >= 0) return found;
      if (this.ended) throw new Error(`no HTTP reply: ${this.received}`);
      return undefined;
    }, 'an HTTP reply');
    const text = this.received.subarray(0, at).toString('latin1');
    this.received = this.received.subarray(at + 4);
    return { status: Number(text.split(' ')[1]), text };
  }

  /** Takes the next frame of the server: `{opcode, payload}`, or undefined at the end of the connection. */
  nextFrame(limit) {
    return this.until(
      () => {
        const found = this.#takeFrame();
        if (found) return found;
        return this.ended ? null : undefined;
      },
      'a frame',
      limit,
    );
  }

  #takeFrame() {
    const bytes = this.received;
    if (bytes.length < 2) return undefined;
    let [length, at] = [bytes[1], 2];
    if (length === 126) {
      if (bytes.length < 4) return undefined;
      [length, at] = [bytes.readUInt16BE(2), 4];
    } else if (length === 127) {
      if (bytes.length < 10) return undefined;
      [length, at] = [Number(bytes.readBigUInt64BE(2)), 10];
    }
    if (bytes.length < at + length) return undefined;
    this.received = bytes.subarray(at + length);
    return { opcode: bytes[0] & 15, payload: bytes.subarray(at, at + length) };
  }

  /** Reads frames to the end: the code of the close frame (undefined without one) and the other frames. */
  async outcome(limit = 10_000) {
    const frames = [];
    let code;
    for (let next = await this.nextFrame(limit); next; next = await this.nextFrame(limit)) {
      if (next.opcode !== Op.close) frames.push(next);
      else code = next.payload.length >= 2 ? next.payload.readUInt16BE(0) : 1005;
    }
    this.#socket.destroy();
    return { code, frames };
  }
}

/** The usual query of a session; `more` overrides. */
export function sessionQuery({ userID, token, platformID }, more = {}) {
  const values = { sendID: userID, token, platformID, operationID: 'hostile', isBackground: 'false', sdkType: 'js', ...more };
  return new URLSearchParams(values).toString();
}

/** An open session over a raw connection. */
export async function rawSession(ws, user, more = {}) {
  const raw = await RawConnection.open(ws);
  raw.write(upgradeRequest(sessionQuery(user, more)));
  const { status, text } = await raw.httpHead();
  if (status !== 101) throw new Error(text);
  return raw;
}

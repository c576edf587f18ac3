// A WebSocket session of a client of ours: gob or JSON, gzip or not. It does no more than it is told to, which makes
// it fit for tests of the wire and for the kill test.

import { EventEmitter, once } from 'node:events';
import { gunzipSync, gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import WebSocket from 'ws';
import { decodeResponse, encodeRequest } from './gob.js';
import { decode, encode } from './messages.js';

export const Req = {
  maxSeqs: 1001,
  pull: 1002,
  send: 1003,
  pullList: 1005,
  readSeqs: 1006,
  lastMessages: 1007,
  push: 2001,
  kicked: 2002,
  logout: 2003,
};

/** The server answered a request with an error. */
export class Refused extends Error {
  constructor(code, message) {
    super(`${code} ${message}`);
    this.code = code;
  }
}

/** The connection ended; whether a request in flight was carried out is not known. */
export class Disconnected extends Error {}

/**
 * Events: `push` (sdkws.PushMessages), `kicked`, `close` (code).
 */
export class Session extends EventEmitter {
  #socket;
  #options;
  #waiting = new Map();
  #count = 0;
  closed = false;

  /** Options: ws (base URL), userID, token, platformID, encoding (`gob` or `json`), gzip. */
  static async connect(options) {
    const session = new Session();
    await session.#open({ encoding: 'gob', gzip: false, timeout: 10_000, ...options });
    return session;
  }

  async #open(options) {
    this.#options = options;
    const query = new URLSearchParams({
      sendID: options.userID,
      token: options.token,
      platformID: options.platformID,
      operationID: `connect-${randomBytes(6).toString('hex')}`,
      isBackground: 'false',
      isMsgResp: 'true',
    });
    if (options.encoding === 'json') query.set('sdkType', 'js');
    if (options.gzip) query.set('compression', 'gzip');
    const socket = new WebSocket(`${options.ws}/?${query}`, {
      perMessageDeflate: false,
      handshakeTimeout: options.timeout,
    });
    this.#socket = socket;
    socket.on('close', (code) => this.#ended(code));
    const first = new Promise((resolve, reject) => {
      socket.once('message', (data, binary) => {
        if (binary) reject(new Error('the first frame is not text'));
        else resolve(JSON.parse(data.toString()));
      });
      socket.once('error', (error) => reject(new Disconnected(error.message)));
      socket.once('close', () => reject(new Disconnected('closed before the outcome')));
    });
    const outcome = await first;
    if (outcome.errCode !== 0) throw new Refused(outcome.errCode, outcome.errMsg);
    socket.on('error', () => {});
    socket.on('message', (data, binary) => {
      if (!binary) return;
      try {
        this.#received(data);
      } catch (error) {
        this.emit('broken', error);
        socket.terminate();
      }
    });
  }

  #received(frame) {
    const plain = this.#options.gzip ? gunzipSync(frame) : frame;
    let response;
    if (this.#options.encoding === 'json') {
      response = JSON.parse(plain.toString());
      response.data = Buffer.from(response.data ?? '', 'base64');
    } else {
      response = decodeResponse(plain);
    }
    const waiting = this.#waiting.get(response.msgIncr);
    if (response.reqIdentifier === Req.push) {
      this.emit('push', decode('sdkws.PushMessages', response.data));
    } else if (response.reqIdentifier === Req.kicked) {
      this.emit('kicked');
    } else if (waiting) {
      this.#waiting.delete(response.msgIncr);
      waiting.settle(response);
    }
  }

  #ended(code) {
    this.closed = true;
    for (const { lost } of this.#waiting.values()) lost(new Disconnected(`closed with ${code}`));
    this.#waiting.clear();
    this.emit('close', code);
  }

  /** Sends a request and waits for the data of its reply. Throws Refused or Disconnected. */
  request(reqIdentifier, data) {
    if (this.closed) return Promise.reject(new Disconnected('closed'));
    const msgIncr = `${this.#options.userID}_${++this.#count}`;
    const envelope = {
      reqIdentifier,
      sendID: this.#options.userID,
      operationID: `op-${randomBytes(6).toString('hex')}`,
      msgIncr,
      data,
    };
    const plain =
      this.#options.encoding === 'json'
        ? Buffer.from(JSON.stringify({ ...envelope, token: '', data: data.toString('base64') }))
        : encodeRequest(envelope);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(msgIncr);
        reject(new Disconnected(`no reply to ${reqIdentifier} within ${this.#options.timeout} ms`));
        this.#socket.terminate();
      }, this.#options.timeout);
      this.#waiting.set(msgIncr, {
        settle: (response) => {
          clearTimeout(timer);
          if (response.errCode === 0) resolve(response.data);
          else reject(new Refused(response.errCode, response.errMsg));
        },
        lost: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#socket.send(this.#options.gzip ? gzipSync(plain) : plain, { binary: true });
    });
  }

  /** Sends a text message in a single chat; resolves to the reply once it is acknowledged. */
  sendText(recvID, text, clientMsgID = newMessageID()) {
    return this.send({ recvID, clientMsgID, content: Buffer.from(JSON.stringify({ content: text })) });
  }

  /** The same in a group. */
  sendGroupText(groupID, text) {
    return this.send({ groupID, sessionType: 3, content: Buffer.from(JSON.stringify({ content: text })) });
  }

  /** Sends a message with these fields beside the usual ones of a text message in a single chat. */
  async send(fields) {
    const reply = await this.request(
      Req.send,
      encode('sdkws.MsgData', {
        sendID: this.#options.userID,
        clientMsgID: newMessageID(),
        senderPlatformID: this.#options.platformID,
        sessionType: 1,
        msgFrom: 100,
        contentType: 101,
        content: Buffer.from('{}'),
        createTime: Date.now(),
        status: 1,
        ...fields,
      }),
    );
    return decode('msg.SendMsgResp', reply);
  }

  /** Newest seq of each of the user's conversations. */
  async maxSeqs() {
    const data = encode('sdkws.GetMaxSeqReq', { userID: this.#options.userID });
    return decode('sdkws.GetMaxSeqResp', await this.request(Req.maxSeqs, data)).maxSeqs;
  }

  /** The messages `begin..=end` of one conversation, ascending, as `userID` may see them. */
  async pull(conversationID, begin, end, userID = this.#options.userID) {
    const data = encode('sdkws.PullMessageBySeqsReq', {
      userID,
      seqRanges: [{ conversationID, begin, end, num: end - begin + 1 }],
      order: 0,
    });
    const reply = decode('sdkws.PullMessageBySeqsResp', await this.request(Req.pull, data));
    return reply.msgs[conversationID]?.Msgs ?? [];
  }

  async logout() {
    const { userID, platformID } = this.#options;
    await this.request(Req.logout, encode('push.DelUserPushTokenReq', { userID, platformID }));
  }

  /** Closes with a close frame and waits for the end of the connection. */
  async close() {
    if (this.closed) return;
    const end = once(this, 'close');
    this.#socket.close();
    await end;
  }

  /** Drops the connection without a word. */
  drop() {
    this.#socket.terminate();
  }
}

export function newMessageID() {
  return randomBytes(16).toString('hex');
}

/** The id of the single chat of two users. */
export function singleChat(a, b) {
  const [first, second] = [a, b].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
  return `si_${first}_${second}`;
}

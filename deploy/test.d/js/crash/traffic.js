// Users who chat all the time, whatever happens to the server.

import { setTimeout as sleep } from 'node:timers/promises';
import { Disconnected, Refused, Session, newMessageID, singleChat } from '../lib/session.js';

/** The one code that says "not now": anything else is a verdict, and wrong for what these users do. */
const NOT_NOW = 500;
const RETRY_MS = 40;
/** Now and then a user does not send again what was not acknowledged: it may be in history, once. */
const GIVE_UP = 0.1;

/** What happened, as the clients saw it. */
export class Ledger {
  /** clientMsgID -> {chat, sender, text, attempts, reply?} */
  sent = new Map();
  acknowledged = 0;
  resent = 0;
  reconnects = 0;
  /** Things that must not happen, as texts. */
  faults = [];

  fault(text) {
    if (this.faults.length < 20) this.faults.push(text);
  }
}

export class User {
  stopped = false;
  /** Acknowledged messages of this user. */
  acknowledged = 0;
  /** How often the connection was lost. */
  lost = 0;

  constructor(id, options, peers, random, ledger) {
    Object.assign(this, { id, options, peers, random, ledger });
  }

  async #connect() {
    for (;;) {
      if (this.stopped) return;
      try {
        const session = await Session.connect({ ...this.options, userID: this.id, timeout: 15_000 });
        this.session = session;
        const newest = new Map();
        session.on('push', (push) => this.#check(push, newest));
        session.on('broken', (error) => this.ledger.fault(`${this.id}: unreadable frame: ${error.message}`));
        session.on('kicked', () => this.ledger.fault(`${this.id}: kicked although nobody else logged in`));
        return;
      } catch (error) {
        if (error instanceof Refused && error.code !== NOT_NOW) {
          this.ledger.fault(`${this.id}: a valid token was refused with ${error.message}`);
        } else if (!(error instanceof Disconnected || error instanceof Refused)) {
          this.ledger.fault(`${this.id}: connecting failed with ${error.message}`);
        }
        await sleep(RETRY_MS);
      }
    }
  }

  /** On one connection a chat's seqs arrive in ascending order without a hole. */
  #check(push, newest) {
    for (const [chat, { Msgs }] of Object.entries(push.msgs)) {
      for (const { seq } of Msgs) {
        const before = newest.get(chat);
        if (before !== undefined && seq !== before + 1) {
          this.ledger.fault(`${this.id}: in ${chat} seq ${seq} was pushed after ${before}`);
        }
        newest.set(chat, seq);
      }
    }
  }

  /** Chats until `stop`. */
  async run() {
    await this.#connect();
    for (let count = 0; !this.stopped; count++) {
      const peer = this.peers[count % this.peers.length];
      const id = newMessageID();
      const entry = { chat: singleChat(this.id, peer), sender: this.id, text: `${this.id} ${count}`, attempts: 0 };
      this.ledger.sent.set(id, entry);
      await this.#send(peer, id, entry);
      await sleep(this.random.between(2, 14));
    }
    await this.session?.close();
  }

  async #send(peer, id, entry) {
    for (;;) {
      entry.attempts++;
      if (entry.attempts === 2) this.ledger.resent++;
      try {
        entry.reply = await this.session.sendText(peer, entry.text, id);
        this.ledger.acknowledged++;
        this.acknowledged++;
        return;
      } catch (error) {
        if (error instanceof Disconnected) {
          this.lost++;
          this.ledger.reconnects++;
          await this.#connect();
        } else if (error instanceof Refused && error.code === NOT_NOW) {
          await sleep(RETRY_MS);
        } else {
          this.ledger.fault(`${this.id}: a message was refused with ${error.message}`);
          return;
        }
        if (this.stopped || this.random.next() < GIVE_UP) return;
      }
    }
  }

  /** Drops the connection, as a client in a tunnel would; `run` connects again. */
  drop() {
    this.session?.drop();
  }

  stop() {
    this.stopped = true;
  }
}

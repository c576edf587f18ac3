// Two users who chat all the while somebody else misbehaves, and must notice nothing.

import assert from 'node:assert/strict';
import { Session, singleChat } from './session.js';

const text = (message) => JSON.parse(message.content.toString()).content;

export class Bystanders {
  #stopping = false;
  #chats = [];
  #sides = [];

  /** Both begin to chat. Their ids must be registered. */
  static async start(server, a, b) {
    const all = new Bystanders();
    for (const [own, peer, encoding] of [[a, b, 'gob'], [b, a, 'json']]) {
      const token = await server.api.token(own, 1);
      const session = await Session.connect({ ws: server.ws, userID: own, token, platformID: 1, encoding, gzip: true });
      const side = { own, peer, session, sent: 0, seen: [], broken: undefined, conversation: singleChat(own, peer) };
      session.on('push', (push) => side.seen.push(...(push.msgs[side.conversation]?.Msgs ?? [])));
      session.on('broken', (error) => (side.broken = error));
      all.#sides.push(side);
    }
    all.#chats = all.#sides.map((side) => all.#chat(side));
    return all;
  }

  async #chat(side) {
    while (!this.#stopping) {
      await side.session.sendText(side.peer, `${side.own} ${side.sent}`);
      side.sent++;
      // Their chat is a probe, not a load.
      await new Promise((next) => setTimeout(next, 5));
    }
  }

  /** Messages acknowledged so far. */
  get sent() {
    return this.#sides.reduce((sum, side) => sum + side.sent, 0);
  }

  /** Waits until both have sent and received once more: the server serves them now. */
  async served() {
    const before = this.#sides.map((side) => [side.sent, side.seen.length]);
    const end = Date.now() + 10_000;
    while (!this.#sides.every((side, i) => side.sent > before[i][0] + 1 && side.seen.length > before[i][1])) {
      for (const side of this.#sides) assert.equal(side.session.closed, false, `${side.own} was disconnected`);
      assert.ok(Date.now() < end, 'the bystanders are not served');
      await new Promise((next) => setTimeout(next, 5));
    }
  }

  /** Ends the chat: neither was disconnected, nothing was lost, doubled or out of order. */
  async finish() {
    this.#stopping = true;
    await Promise.all(this.#chats);
    const total = this.sent;
    for (const side of this.#sides) {
      const end = Date.now() + 10_000;
      while (side.seen.length < total && Date.now() < end) await new Promise((next) => setTimeout(next, 5));
      assert.equal(side.broken, undefined);
      assert.equal(side.session.closed, false, `${side.own} was disconnected`);
      assert.deepEqual(side.seen.map((m) => m.seq), Array.from({ length: total }, (_, i) => i + 1));
      for (const of of this.#sides) {
        const said = side.seen.filter((m) => m.sendID === of.own).map(text);
        assert.deepEqual(said, Array.from({ length: of.sent }, (_, i) => `${of.own} ${i}`));
      }
      await side.session.close();
    }
    return total;
  }
}

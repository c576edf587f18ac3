// A client of ours, without gzip and with its own gob definitions, next to the official SDKs.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { Refused, Session, newMessageID, singleChat } from '../lib/session.js';
import { said } from './device.js';
import { World } from './world.js';

const IOS = 1;
const WEB = 5;

/** The next `count` messages pushed to `session`. */
async function pushed(session, count) {
  const messages = [];
  for await (const [push] of on(session, 'push', { signal: AbortSignal.timeout(10_000) })) {
    for (const { Msgs } of Object.values(push.msgs)) messages.push(...Msgs);
    if (messages.length >= count) return messages;
  }
  throw new Error('the session ended');
}

const text = (message) => JSON.parse(message.content.toString()).content;

describe('a client of our own', () => {
  let world;
  const sessions = [];
  before(async () => {
    world = await World.start();
  });
  afterEach(async () => {
    await Promise.all(sessions.splice(0).map((s) => s.close()));
    await world.clear();
  });
  after(() => world?.stop());

  const connect = async (userID, options = {}) => {
    const platformID = options.platformID ?? IOS;
    const token = options.token ?? (await world.api.token(userID, platformID));
    const session = await Session.connect({ ws: world.server.ws, userID, token, platformID, ...options });
    sessions.push(session);
    return session;
  };

  const kinds = [
    ['gob', { encoding: 'gob', gzip: false }],
    ['gob with gzip', { encoding: 'gob', gzip: true }],
    ['JSON', { encoding: 'json', gzip: false }],
    ['JSON with gzip', { encoding: 'json', gzip: true }],
  ];
  for (const [name, options] of kinds) {
    test(`${name}: logs in, sends, receives, pulls, logs out`, async () => {
      const [ann, bob] = await world.users('ann', 'bob');
      const a = await connect(ann, options);
      const b = await connect(bob, options);
      const arriving = pushed(b, 3);
      const echo = pushed(a, 3);
      for (let i = 0; i < 3; i++) {
        const reply = await a.sendText(bob, `t${i}`);
        assert.match(reply.serverMsgID, /./);
      }
      const messages = await arriving;
      assert.deepEqual(messages.map(text), ['t0', 't1', 't2']);
      assert.deepEqual(messages.map((m) => m.seq), [1, 2, 3]);
      assert.deepEqual((await echo).map(text), ['t0', 't1', 't2']);
      const chat = singleChat(ann, bob);
      assert.equal((await b.maxSeqs())[chat], 3);
      assert.deepEqual((await b.pull(chat, 1, 3)).map(text), ['t0', 't1', 't2']);
      const end = once(b, 'close', { signal: AbortSignal.timeout(10_000) });
      await b.logout();
      await end;
    });
  }

  test('the same clientMsgID again gets the first answer and is not delivered again', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await connect(ann);
    const b = await connect(bob);
    const arriving = pushed(b, 2);
    const id = newMessageID();
    const first = await a.sendText(bob, 'once', id);
    assert.deepEqual(await a.sendText(bob, 'once', id), first);
    await a.sendText(bob, 'next');
    assert.deepEqual((await arriving).map(text), ['once', 'next']);
    assert.equal((await b.maxSeqs())[singleChat(ann, bob)], 2);
  });

  test('the other devices of the sender see the message', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const phone = await connect(ann);
    const web = await world.loggedIn('js', ann);
    await phone.sendText(bob, 'from the phone');
    assert.deepEqual((await web.messagesFrom(ann, 1)).map(said), ['from the phone']);
  });

  test('chats with a wasm user', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await connect(ann);
    const b = await world.loggedIn('wasm', bob);
    await a.sendText(bob, 'plain gob');
    assert.deepEqual((await b.messagesFrom(ann, 1)).map(said), ['plain gob']);
    const arriving = pushed(a, 1);
    await b.sendText(ann, 'gzipped gob');
    assert.deepEqual((await arriving).map(text), ['gzipped gob']);
  });

  test('refusals have their codes', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const code = (wanted) => (error) => error instanceof Refused && error.code === wanted;
    const a = await connect(ann);
    await assert.rejects(a.sendText('nobody-at-all', 'x'), code(1004));
    assert.deepEqual(await a.pull(singleChat(bob, 'third'), 1, 5), []);
    await assert.rejects(a.pull(singleChat(ann, bob), 1, 5, bob), code(1002));
    await assert.rejects(connect(ann, { token: 'no.jwt' }), code(1503));
    const token = await world.api.token(ann, WEB);
    await assert.rejects(connect(bob, { token, platformID: WEB }), code(1502));
    const kicked = once(a, 'kicked', { signal: AbortSignal.timeout(10_000) });
    await connect(ann);
    await kicked;
  });
});

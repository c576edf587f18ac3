// The official wasm SDK (gob, gzip) in a real browser.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { said } from './device.js';
import { World } from './world.js';
import { singleChat } from '../lib/session.js';

const LOGGED_OUT = 1;

describe('wasm SDK', () => {
  let world;
  before(async () => {
    world = await World.start();
  });
  afterEach(() => world.clear());
  after(() => world?.stop());

  test('the first sync of a new user ends without an error', async () => {
    const [ann] = await world.users('ann');
    const device = await world.loggedIn('wasm', ann);
    assert.deepEqual(device.failures(), []);
    assert.equal(device.count('OnSyncServerStart'), 1);
    assert.equal(device.count('OnSyncServerFinish'), 1);
    const self = await device.call('getSelfUserInfo');
    assert.equal(self.userID, ann);
    assert.equal(self.nickname, `Nick ${ann}`);
    assert.deepEqual(await device.call('getAllConversationList'), []);
    assert.deepEqual(await device.call('getFriendList'), []);
    assert.deepEqual(await device.call('getJoinedGroupList'), []);
  });

  test('two users send each other text and custom messages; both see them in order', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('wasm', ann);
    const b = await world.loggedIn('wasm', bob);

    const fromAnn = [];
    const fromBob = [];
    for (let i = 0; i < 8; i++) {
      await a.sendText(bob, `a${i}`);
      await b.sendText(ann, `b${i}`);
      await a.sendCustom(bob, { from: ann, i });
      await b.sendCustom(ann, { from: bob, i });
      fromAnn.push(`a${i}`, { from: ann, i });
      fromBob.push(`b${i}`, { from: bob, i });
    }
    const atBob = await b.messagesFrom(ann, 16);
    const atAnn = await a.messagesFrom(bob, 16);
    assert.deepEqual(atBob.map(said), fromAnn);
    assert.deepEqual(atAnn.map(said), fromBob);
    for (const messages of [atBob, atAnn]) {
      const seqs = messages.map((m) => m.seq);
      assert.deepEqual(seqs, [...seqs].sort((x, y) => x - y));
    }

    const chat = singleChat(ann, bob);
    const whole = fromAnn.flatMap((message, i) => [message, fromBob[i]]);
    assert.deepEqual((await a.history(chat)).map(said), whole);
    assert.deepEqual((await b.history(chat)).map(said), whole);
    assert.deepEqual([...a.failures(), ...b.failures()], []);
  });

  test('the receiver sees unread counts, previews and the name of the sender', async () => {
    const [ann, bob, eve] = await world.users('ann', 'bob', 'eve');
    const a = await world.loggedIn('wasm', ann);
    const e = await world.loggedIn('wasm', eve);
    const b = await world.loggedIn('wasm', bob);
    for (let i = 1; i <= 3; i++) await a.sendText(bob, `to bob ${i}`);
    await b.messagesFrom(ann, 3);
    await e.sendText(bob, 'hello from eve');
    await b.messagesFrom(eve, 1);

    await b.until('four unread messages', (events) =>
      events.some((x) => x.event === 'OnTotalUnreadMessageCountChanged' && Number(x.data) === 4),
    );
    assert.equal(Number(await b.call('getTotalUnreadMsgCount')), 4);
    const list = await b.call('getAllConversationList');
    assert.deepEqual(list.map((c) => c.userID), [eve, ann], 'the newest conversation comes first');
    const [withEve, withAnn] = list;
    assert.equal(withAnn.unreadCount, 3);
    assert.equal(withEve.unreadCount, 1);
    assert.equal(withAnn.showName, `Nick ${ann}`);
    assert.equal(said(JSON.parse(withAnn.latestMsg)), 'to bob 3');
    assert.equal(said(JSON.parse(withEve.latestMsg)), 'hello from eve');

    const own = await a.conversationWith(bob);
    assert.equal(own.unreadCount, 0, 'own messages are not unread');
    assert.equal(said(JSON.parse(own.latestMsg)), 'to bob 3');
  });

  test('messages sent while the receiver is away arrive with the next login', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('wasm', ann);
    const b = await world.loggedIn('wasm', bob);
    await a.sendText(bob, 'while here');
    await b.messagesFrom(ann, 1);
    await b.page.goto('about:blank');
    for (let i = 0; i < 5; i++) await a.sendText(bob, `away ${i}`);
    await b.open();
    await b.login(bob, b.token);
    const conversation = await b.until('six unread', async () => {
      const c = await b.conversationWith(ann);
      return c?.unreadCount === 6 && c;
    });
    assert.equal(said(JSON.parse(conversation.latestMsg)), 'away 4');
    const expected = ['while here', 'away 0', 'away 1', 'away 2', 'away 3', 'away 4'];
    assert.deepEqual((await b.history(singleChat(ann, bob))).map(said), expected);
    assert.deepEqual(b.failures(), []);
  });

  test('history is there after a reload, and is pulled into an empty local database', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const chat = singleChat(ann, bob);
    const a = await world.loggedIn('wasm', ann);
    const b = await world.loggedIn('wasm', bob);
    const expected = [];
    for (let i = 0; i < 30; i++) {
      await a.sendText(bob, `m${i}`);
      expected.push(`m${i}`);
    }
    await b.messagesFrom(ann, 30);

    await b.restart();
    await b.login(bob, b.token);
    assert.deepEqual((await b.history(chat)).map(said), expected);
    assert.deepEqual(b.failures(), []);
    await b.close();

    const fresh = await world.loggedIn('wasm', bob);
    const conversation = await fresh.until('the conversation', async () => {
      const c = await fresh.conversationWith(ann);
      return c?.latestMsg && c;
    });
    assert.equal(said(JSON.parse(conversation.latestMsg)), 'm29');
    assert.equal(conversation.unreadCount, 30);
    assert.deepEqual((await fresh.history(chat)).map(said), expected);
    assert.deepEqual(fresh.failures(), []);
  });

  test('a second login on the same platform kicks the first', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const first = await world.loggedIn('wasm', ann);
    const second = await world.loggedIn('wasm', ann);
    await first.event('OnKickedOffline');
    assert.deepEqual(first.failures().map((e) => e.event), ['OnKickedOffline']);
    assert.equal(await first.call('getLoginStatus'), LOGGED_OUT);
    await second.sendText(bob, 'still here');
    assert.deepEqual(second.failures(), []);

    // The old token is kicked for good: the same event again, not a failure that would be retried.
    await first.restart();
    await first.startLogin(ann, first.token);
    await first.event('OnKickedOffline');
    await second.sendText(bob, 'still here');
  });

  test('logout ends the session and another login works', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('wasm', ann);
    const b = await world.loggedIn('wasm', bob);
    await b.call('logout');
    assert.equal(await b.call('getLoginStatus'), LOGGED_OUT);
    await a.sendText(bob, 'after logout');
    assert.deepEqual(b.failures(), []);
    await b.restart();
    await b.login(bob);
    const conversation = await b.until('the message', async () => {
      const c = await b.conversationWith(ann);
      return c?.latestMsg && c;
    });
    assert.equal(said(JSON.parse(conversation.latestMsg)), 'after logout');
  });
});

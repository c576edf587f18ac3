// The official pure JavaScript SDK (JSON, no local database), alone and together with the wasm SDK.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { said } from './device.js';
import { World } from './world.js';
import { singleChat } from '../lib/session.js';

describe('JavaScript SDK', () => {
  let world;
  before(async () => {
    world = await World.start();
  });
  afterEach(() => world.clear());
  after(() => world?.stop());

  test('two users chat', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('js', ann);
    const b = await world.loggedIn('js', bob);
    await a.sendText(bob, 'one');
    await a.sendCustom(bob, { two: 2 });
    await a.sendText(bob, 'three');
    assert.deepEqual((await b.messagesFrom(ann, 3)).map(said), ['one', { two: 2 }, 'three']);
    await b.sendText(ann, 'back');
    assert.deepEqual((await a.messagesFrom(bob, 1)).map(said), ['back']);
    const list = await b.call('getConversationListSplit', { offset: 0, count: 20 });
    assert.equal(list.length, 1);
    assert.equal(list[0].userID, ann);
    assert.equal(list[0].showName, `Nick ${ann}`);
    assert.equal(said(JSON.parse(list[0].latestMsg)), 'back');
    assert.deepEqual([...a.failures(), ...b.failures()], []);
  });

  test('history and conversations are there after a reload', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('js', ann);
    const expected = [];
    for (let i = 0; i < 10; i++) {
      await a.sendText(bob, `m${i}`);
      expected.push(`m${i}`);
    }
    const b = await world.loggedIn('js', bob);
    const [conversation] = await b.call('getConversationListSplit', { offset: 0, count: 20 });
    assert.equal(conversation.userID, ann);
    assert.equal(conversation.unreadCount, 10);
    assert.equal(said(JSON.parse(conversation.latestMsg)), 'm9');
    assert.deepEqual((await b.history(singleChat(ann, bob))).map(said), expected);
    await b.restart();
    await b.login(bob, b.token);
    assert.deepEqual((await b.history(singleChat(ann, bob))).map(said), expected);
    assert.deepEqual(b.failures(), []);
  });

  test('a second login on the same platform kicks the first, whichever SDK it uses', async () => {
    const [ann] = await world.users('ann');
    const first = await world.loggedIn('js', ann);
    const second = await world.loggedIn('wasm', ann);
    await first.event('OnKickedOffline');
    const third = await world.loggedIn('js', ann);
    await second.event('OnKickedOffline');
    assert.deepEqual(third.failures(), []);
  });

  test('logout', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('js', ann);
    await a.call('logout');
    const b = await world.loggedIn('js', bob);
    await b.sendText(ann, 'later');
    await a.login(ann);
    const [conversation] = await a.call('getConversationListSplit', { offset: 0, count: 20 });
    assert.equal(said(JSON.parse(conversation.latestMsg)), 'later');
  });

  test('a wasm user and a JavaScript user chat', async () => {
    const [ann, bob] = await world.users('ann', 'bob');
    const a = await world.loggedIn('wasm', ann);
    const b = await world.loggedIn('js', bob);
    const expected = [];
    for (let i = 0; i < 5; i++) {
      await a.sendText(bob, `wasm ${i}`);
      await b.sendCustom(ann, { js: i });
      expected.push(`wasm ${i}`, { js: i });
    }
    assert.deepEqual((await b.messagesFrom(ann, 5)).map(said), expected.filter((_, i) => i % 2 === 0));
    assert.deepEqual((await a.messagesFrom(bob, 5)).map(said), expected.filter((_, i) => i % 2 === 1));
    const chat = singleChat(ann, bob);
    assert.deepEqual((await a.history(chat)).map(said), expected);
    assert.deepEqual((await b.history(chat)).map(said), expected);
    assert.deepEqual([...a.failures(), ...b.failures()], []);
  });
});

// Notifications on the message path, with both real binaries: the server's own, and those of an admin. They come to
// every device of the receiver, in order, and wait for those who are away; no user can forge one.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { startServer } from '../lib/server.js';
import { Refused, Session } from '../lib/session.js';

const IOS = 1;
const WEB = 5;
const ADMIN = 10;
const USER_INFO_UPDATED = 1303;
const OA = 1400;
const BUSINESS = 2001;
/** Options of a notification that is no chat message as well. */
const NOT_IN_CHAT = { isNotNotification: false, isSendMsg: false };

const detail = (message) => JSON.parse(JSON.parse(message.content.toString()).detail);

describe('notifications', () => {
  let server;
  const sessions = [];
  before(async () => {
    server = await startServer();
    await server.api.register('ann', 'bob', 'cat');
  });
  afterEach(() => Promise.all(sessions.splice(0).map((s) => s.close())));
  after(() => server?.stop());

  const tokens = new Map();
  const connect = async (userID, options = {}) => {
    const platformID = options.platformID ?? IOS;
    const key = `${userID} ${platformID}`;
    if (!tokens.has(key)) tokens.set(key, options.token ?? (await server.api.token(userID, platformID)));
    const session = await Session.connect({ ws: server.ws, userID, token: tokens.get(key), platformID, ...options });
    sessions.push(session);
    session.notified = [];
    session.chatted = [];
    session.on('push', (push) => {
      for (const [kind, list] of [[push.notificationMsgs, session.notified], [push.msgs, session.chatted]]) {
        for (const [conversation, { Msgs }] of Object.entries(kind)) list.push(...Msgs.map((m) => ({ conversation, ...m })));
      }
    });
    return session;
  };
  const arrived = async (session, list, count) => {
    while (session[list].length < count) await once(session, 'push', { signal: AbortSignal.timeout(10_000) });
    return session[list].slice(0, count);
  };

  test('a change of the profile is told to all devices of the user, and to nobody else', async () => {
    const stranger = await connect('bob');
    const devices = [await connect('ann', { gzip: true }), await connect('ann', { platformID: WEB, encoding: 'json' })];
    for (const nickname of ['Anna', 'Anne', 'Annie']) {
      await server.api.call('/user/update_user_info', { userInfo: { userID: 'ann', nickname } });
    }
    for (const device of devices) {
      const messages = await arrived(device, 'notified', 3);
      assert.deepEqual(
        messages.map((m) => [m.conversation, m.contentType, m.seq, detail(m).userID]),
        // From the operator, and not stored: what it tells is read anew after a login anyway.
        [1, 2, 3].map(() => [`n_ann_${server.adminUserID}`, USER_INFO_UPDATED, 0, 'ann']),
      );
      assert.deepEqual(device.chatted, []);
    }
    // The stranger gets what comes after, and nothing before it.
    await devices[0].sendText('bob', 'after');
    await arrived(stranger, 'chatted', 1);
    assert.deepEqual(stranger.notified, []);
  });

  test('an admin notifies over a session; the order among them holds, the chat is untouched', async () => {
    const bob = await connect('bob', { encoding: 'json' });
    const admin = await connect(server.adminUserID, { platformID: ADMIN, token: server.adminToken });
    for (let n = 0; n < 20; n++) {
      const content = Buffer.from(JSON.stringify({ detail: JSON.stringify({ key: 'n', data: `${n}` }) }));
      await admin.send({ recvID: 'bob', contentType: BUSINESS, content, options: NOT_IN_CHAT });
    }
    const messages = await arrived(bob, 'notified', 20);
    assert.deepEqual(messages.map((m) => detail(m).data), Array.from({ length: 20 }, (_, n) => `${n}`));
    assert.deepEqual(messages.map((m) => m.seq), Array.from({ length: 20 }, (_, n) => n + 1));
    assert.deepEqual(bob.chatted, []);
    // Kept for a device that was away.
    const later = await connect('bob', { platformID: WEB });
    const kept = await later.pull(messages[0].conversation, 1, 20);
    assert.deepEqual(kept.map((m) => m.serverMsgID), messages.map((m) => m.serverMsgID));
    assert.ok(messages.every((m) => m.conversation.startsWith('n_') && m.contentType === BUSINESS));
  });

  test('a message of a notification account is a chat of its own', async () => {
    const cat = await connect('cat');
    const content = { notificationName: 'News', notificationFaceURL: '', notificationType: 1, text: 'hello', externalUrl: '', mixType: 0 };
    const sent = await server.api.call('/msg/send_msg', {
      sendID: server.adminUserID,
      recvID: 'cat',
      content,
      contentType: OA,
      sessionType: 4,
    });
    const [message] = await arrived(cat, 'chatted', 1);
    const conversation = `sn_cat_${server.adminUserID}`;
    assert.deepEqual([message.conversation, message.contentType, message.sessionType, message.seq], [conversation, OA, 4, 1]);
    assert.equal(message.serverMsgID, sent.serverMsgID);
    assert.equal(detail(message).text, 'hello');
    assert.equal((await cat.maxSeqs())[conversation], 1);
    assert.equal((await cat.pull(conversation, 1, 1))[0].serverMsgID, sent.serverMsgID);
  });

  test('a user notifies nobody', async () => {
    const [ann, bob] = [await connect('ann'), await connect('bob')];
    for (const contentType of [1201, USER_INFO_UPDATED, BUSINESS, 2101]) {
      const sending = ann.send({ recvID: 'bob', contentType, content: Buffer.from('{"detail":"{}"}'), options: NOT_IN_CHAT });
      await assert.rejects(sending, (error) => error instanceof Refused && error.code === 1002, `${contentType}`);
    }
    // Nor does the option alone make a chat message one.
    await ann.send({ recvID: 'bob', content: Buffer.from('{"content":"x"}'), options: NOT_IN_CHAT });
    const [message] = await arrived(bob, 'chatted', 1);
    assert.equal(message.conversation, 'si_ann_bob');
    assert.deepEqual(bob.notified, []);
  });
});

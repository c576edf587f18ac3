// Groups on the message path, with both real binaries. There are no routes that make groups yet, so they are put into
// the database while nobody uses it.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '../lib/server.js';
import { Refused, Session, newMessageID } from '../lib/session.js';

const SEED_GROUPS = process.env.RINGWIRE_SEED_GROUPS;

const IOS = 1;
const WEB = 5;
const OWNER = 100;
const ADMIN = 60;
const MEMBER = 20;
const NORMAL = 0;
const DISMISSED = 2;
const MUTED = 3;
const OPEN_GROUP = 1;
const WORK_GROUP = 2;
const NEVER_ENDS = 4_000_000_000_000;

const user = (userID, role = MEMBER, muteEndTime = 0) => ({ userID, role, muteEndTime });
const four = () => [user('ann', OWNER), user('bob', ADMIN), user('cat'), user('dan')];
const GROUPS = [
  ...['team', 'order', 'history', 'again'].map((groupID) => ({ groupID, members: four() })),
  { groupID: 'quiet', status: MUTED, members: four() },
  { groupID: 'gone', status: DISMISSED, members: four() },
  { groupID: 'open', groupType: OPEN_GROUP, members: four() },
  { groupID: 'strict', members: [user('ann', OWNER, NEVER_ENDS), user('bob', ADMIN, NEVER_ENDS), user('cat', MEMBER, NEVER_ENDS), user('dan', MEMBER, 1)] },
].map((group) => ({ status: NORMAL, groupType: WORK_GROUP, ...group }));

function seed(database) {
  return new Promise((resolve, reject) => {
    const child = execFile(SEED_GROUPS, [`sqlite:${database}`], (error, _out, said) =>
      error ? reject(new Error(`${error.message}\n${said}`)) : resolve(),
    );
    child.stdin.end(JSON.stringify(GROUPS));
  });
}

const refused = (code) => (error) => error instanceof Refused && error.code === code;
const text = (message) => JSON.parse(message.content.toString()).content;

describe('groups', () => {
  let folder;
  let server;
  const tokens = new Map();
  const sessions = [];

  before(async () => {
    assert.ok(SEED_GROUPS, 'RINGWIRE_SEED_GROUPS names the program that makes groups');
    folder = await mkdtemp(join(tmpdir(), 'ringwire-test-'));
    server = await startServer({ data: folder });
    await server.api.register('ann', 'bob', 'cat', 'dan', 'eve');
    await server.stop();
    server = undefined;
    await seed(join(folder, 'ringwire.db'));
    server = await startServer({ data: folder });
  });
  afterEach(() => Promise.all(sessions.splice(0).map((s) => s.close())));
  after(async () => {
    await server?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  /** A session that keeps what is pushed to it, by conversation. */
  const connect = async (userID, options = {}) => {
    const platformID = options.platformID ?? IOS;
    const key = `${userID} ${platformID}`;
    if (!tokens.has(key)) tokens.set(key, await server.api.token(userID, platformID));
    const session = await Session.connect({ ws: server.ws, userID, token: tokens.get(key), platformID, ...options });
    sessions.push(session);
    session.pushed = [];
    session.on('push', (push) => {
      for (const [conversation, { Msgs }] of Object.entries(push.msgs)) {
        for (const message of Msgs) session.pushed.push({ conversation, ...message });
      }
    });
    return session;
  };
  /** Waits for `count` pushes of a group's chat. */
  const arrived = async (session, groupID, count) => {
    for (;;) {
      const mine = session.pushed.filter((m) => m.conversation === `sg_${groupID}`);
      if (mine.length >= count) return mine;
      await once(session, 'push', { signal: AbortSignal.timeout(10_000) });
    }
  };

  test('a message reaches every device of every member, the sender too, and nobody else', async () => {
    const members = [
      await connect('ann', { encoding: 'gob', gzip: true }),
      await connect('bob', { encoding: 'json' }),
      await connect('bob', { platformID: WEB, encoding: 'gob' }),
      await connect('cat', { encoding: 'json', gzip: true }),
      await connect('dan'),
      await connect('dan', { platformID: WEB, encoding: 'json' }),
    ];
    const stranger = await connect('eve');
    const sent = await members[0].sendGroupText('team', 'hello');
    for (const session of members) {
      const [message] = await arrived(session, 'team', 1);
      assert.deepEqual(
        [message.seq, message.sendID, message.groupID, message.sessionType, message.recvID, text(message)],
        [1, 'ann', 'team', 3, '', 'hello'],
      );
      assert.equal(message.serverMsgID, sent.serverMsgID);
    }
    // What comes after it has come: had the stranger been sent the first, it would be here.
    await members[0].sendText('eve', 'and you');
    while (stranger.pushed.length === 0) await once(stranger, 'push', { signal: AbortSignal.timeout(10_000) });
    assert.deepEqual(stranger.pushed.map((m) => m.conversation), ['si_ann_eve']);
  });

  test('all four write at once: one order for all, nothing lost, each in its own order', async () => {
    const EACH = 40;
    const kinds = [{ encoding: 'gob' }, { encoding: 'json' }, { encoding: 'gob', gzip: true }, { encoding: 'json', gzip: true }];
    const members = await Promise.all(['ann', 'bob', 'cat', 'dan'].map((id, i) => connect(id, kinds[i])));
    const second = await connect('ann', { platformID: WEB });
    const ids = await Promise.all(
      members.map(async (session, who) => {
        const replies = [];
        // Half of them without waiting for the one before.
        for (let n = 0; n < EACH; n += 2) {
          replies.push(...(await Promise.all([0, 1].map((k) => session.sendGroupText('order', `${who} ${n + k}`)))));
        }
        return replies.map((r) => r.serverMsgID);
      }),
    );
    const total = 4 * EACH;
    const first = await arrived(members[0], 'order', total);
    assert.deepEqual(first.map((m) => m.seq), Array.from({ length: total }, (_, i) => i + 1));
    assert.deepEqual(new Set(first.map((m) => m.serverMsgID)), new Set(ids.flat()));
    for (let who = 0; who < 4; who++) {
      const own = first.map(text).filter((t) => t.startsWith(`${who} `));
      assert.deepEqual(own, Array.from({ length: EACH }, (_, n) => `${who} ${n}`));
    }
    for (const session of [...members.slice(1), second]) {
      const seen = await arrived(session, 'order', total);
      assert.deepEqual(seen.map((m) => m.serverMsgID), first.map((m) => m.serverMsgID));
    }
  });

  test('a member who was away finds the history, one who is none does not', async () => {
    const ann = await connect('ann');
    for (let n = 0; n < 5; n++) await ann.sendGroupText('history', `m${n}`);
    const cat = await connect('cat', { encoding: 'json' });
    // At once after the login: what was acknowledged before it is there.
    assert.equal((await cat.maxSeqs()).sg_history, 5);
    const messages = await cat.pull('sg_history', 1, 5);
    assert.deepEqual(messages.map(text), ['m0', 'm1', 'm2', 'm3', 'm4']);
    assert.deepEqual(messages.map((m) => m.seq), [1, 2, 3, 4, 5]);
    const eve = await connect('eve');
    assert.equal((await eve.maxSeqs()).sg_history, undefined);
    const nothing = await eve.pull('sg_history', 1, 5).catch((error) => {
      assert.ok(error instanceof Refused, error.message);
      return [];
    });
    assert.deepEqual(nothing, []);
  });

  test('the same clientMsgID again is the same message', async () => {
    const [ann, bob] = [await connect('ann'), await connect('bob')];
    const fields = { groupID: 'again', sessionType: 3, clientMsgID: newMessageID(), content: Buffer.from('{"content":"once"}') };
    const first = await ann.send(fields);
    assert.deepEqual(await ann.send(fields), first);
    await ann.sendGroupText('again', 'next');
    assert.deepEqual((await arrived(bob, 'again', 2)).map((m) => [m.seq, text(m)]), [[1, 'once'], [2, 'next']]);
  });

  test('who may not write is told why', async () => {
    const as = Object.fromEntries(await Promise.all(['ann', 'bob', 'cat', 'dan', 'eve'].map(async (id) => [id, await connect(id)])));
    const cases = [
      ['eve', 'team', 1203, 'no member'],
      ['ann', 'unknown', 1004, 'no such group'],
      ['ann', '', 1004, 'no group'],
      ['ann', 'gone', 1204, 'dismissed, even for its owner'],
      ['cat', 'quiet', 1403, 'all are muted'],
      ['bob', 'quiet', 0, 'but not an admin'],
      ['ann', 'quiet', 0, 'nor the owner'],
      ['eve', 'quiet', 1203, 'no member of a muted group'],
      ['cat', 'strict', 1402, 'a muted member'],
      ['bob', 'strict', 1402, 'a muted admin'],
      ['ann', 'strict', 0, 'the owner cannot be muted'],
      ['dan', 'strict', 0, 'muted once, no longer'],
      ['eve', 'open', 0, 'an open group asks for no membership'],
    ];
    for (const [who, groupID, code, why] of cases) {
      const sending = as[who].sendGroupText(groupID, why);
      if (code === 0) assert.match((await sending).serverMsgID, /./, why);
      else await assert.rejects(sending, refused(code), `${who} in ${groupID}: ${why}`);
    }
    // What was refused took no seq.
    assert.deepEqual((await arrived(as.cat, 'quiet', 2)).map((m) => m.seq), [1, 2]);
    assert.deepEqual((await arrived(as.cat, 'strict', 2)).map((m) => m.seq), [1, 2]);
  });

  test('a user forges no notification of the group', async () => {
    const cat = await connect('cat');
    for (const contentType of [1501, 1507, 1511, 2101, 1400]) {
      const content = Buffer.from('{"detail":"{}"}');
      const sending = cat.send({ groupID: 'team', sessionType: 3, contentType, content });
      await assert.rejects(sending, refused(contentType === 1400 ? 1001 : 1002), `${contentType}`);
    }
  });

  test('a back-end sends into a group, in the name of a member', async () => {
    const dan = await connect('dan');
    const before = (await dan.maxSeqs()).sg_team ?? 0;
    const sent = await server.api.call('/msg/send_msg', {
      sendID: 'bob',
      groupID: 'team',
      content: { content: 'from the back-end' },
      contentType: 101,
      sessionType: 3,
    });
    const [message] = await arrived(dan, 'team', 1);
    assert.deepEqual([message.seq, message.sendID, message.serverMsgID], [before + 1, 'bob', sent.serverMsgID]);
  });
});

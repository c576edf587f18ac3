// A real file system without room under everything: journal, database, logs. It takes a mount, so it needs root; what
// it shows of each process alone is tested without (gateway/tests/recovery.rs, control/src/store/sql/db.rs).

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiError } from '../lib/api.js';
import { startServer } from '../lib/server.js';
import { Refused, Session, singleChat } from '../lib/session.js';

const place = mkdtempSync(join(tmpdir(), 'ringwire-small-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'ringwire-test', place]);
const problem = mounted.status === 0 ? false : `cannot mount a small file system: ${mounted.stderr ?? mounted.error}`;
const MESSAGE = 30_000;
const SEGMENT = 2 << 20;

describe('a full disk', { skip: problem }, () => {
  const filler = join(place, 'filler');
  let server;
  let ann;
  let bob;
  const acknowledged = [];
  const seen = [];

  const room = () => {
    const { bavail, bsize } = statfsSync(place);
    return bavail * bsize;
  };
  const fill = () => {
    for (let n = 0; room() > 0 && n < 100; n++) writeFileSync(filler, Buffer.alloc(room()), { flag: 'a' });
    assert.equal(room(), 0);
  };
  /** The code of the refusal, 0 for none. */
  const send = async (length = 10) => {
    try {
      acknowledged.push((await ann.sendText('bob', 'x'.repeat(length))).serverMsgID);
      return 0;
    } catch (error) {
      if (error instanceof Refused) return error.code;
      throw error;
    }
  };
  const soon = async (attempt, what) => {
    const end = Date.now() + 20_000;
    while (!(await attempt())) {
      assert.ok(Date.now() < end, what);
      await new Promise((next) => setTimeout(next, 50));
    }
  };

  before(async () => {
    const data = join(place, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'ringwire.toml'), `[gateway]\ncores = 2\njournal_segment_bytes = ${SEGMENT}\n`);
    server = await startServer({ data });
    await server.api.register('ann', 'bob');
    const connect = async (userID) =>
      Session.connect({ ws: server.ws, userID, token: await server.api.token(userID, 1), platformID: 1 });
    [ann, bob] = [await connect('ann'), await connect('bob')];
    bob.on('push', (push) => Object.values(push.msgs).forEach(({ Msgs }) => seen.push(...Msgs.map((m) => m.serverMsgID))));
  });
  after(async () => {
    try {
      rmSync(filler, { force: true });
      await server?.stop();
    } finally {
      spawnSync('umount', ['-l', place]);
      rmdirSync(place);
    }
  });

  test('sends are accepted while the journal has room, then refused; sessions and what needs no room go on', async () => {
    assert.equal(await send(), 0);
    fill();
    const codes = [];
    for (let n = 0; n < (3 * SEGMENT) / MESSAGE; n++) codes.push(await send(MESSAGE));
    const first = codes.indexOf(500);
    assert.ok(first > 0, `${codes}`);
    assert.deepEqual(new Set(codes.slice(0, first)), new Set([0]));
    assert.deepEqual(new Set(codes.slice(first)), new Set([500]));
    await soon(() => seen.length === acknowledged.length, 'what was acknowledged is delivered');
    assert.deepEqual(seen, acknowledged);
    assert.equal((await server.api.call('/user/get_users_info', { userIDs: ['ann'] })).usersInfo.length, 1);
    await assert.rejects(server.api.register('new'), (error) => error instanceof ApiError && error.code === 500);
    assert.deepEqual([ann.closed, bob.closed], [false, false]);
  });

  test('with room again everything works, and nothing acknowledged is lost', async () => {
    rmSync(filler, { force: true });
    await soon(async () => (await send(MESSAGE)) === 0, 'sends are accepted again');
    for (let n = 0; n < (2 * SEGMENT) / MESSAGE; n++) assert.equal(await send(MESSAGE), 0);
    const stored = async () => {
      try {
        return (await bob.maxSeqs())[singleChat('ann', 'bob')] === acknowledged.length;
      } catch (error) {
        if (error instanceof Refused) return false;
        throw error;
      }
    };
    await soon(stored, 'control stores again');
    await server.api.register('new');
    const history = [];
    while (history.length < acknowledged.length) {
      const next = await bob.pull(singleChat('ann', 'bob'), history.length + 1, Math.min(history.length + 10, acknowledged.length));
      assert.ok(next.length > 0);
      history.push(...next);
    }
    assert.deepEqual(history.map((m) => m.serverMsgID), acknowledged);
    assert.deepEqual(history.map((m) => m.seq), acknowledged.map((_, i) => i + 1));
    assert.deepEqual([ann.closed, bob.closed], [false, false]);
  });
});
if (problem) rmdirSync(place);

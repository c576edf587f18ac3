// The whole server on PostgreSQL: messages, history, a restart, and a database that drops its connections.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startServer } from '../lib/server.js';
import { Session, singleChat } from '../lib/session.js';

const ANDROID = 2;
const IOS = 1;
const CHAT = singleChat('ann', 'bob');

const run = promisify(execFile);

describe('on PostgreSQL', () => {
  const { RINGWIRE_TEST_POSTGRES: url, RINGWIRE_TEST_PSQL: psql } = process.env;
  let data;
  let server;
  let ann;
  let bob;

  const sql = async (statement) => (await run(psql, [url, '-tAc', statement])).stdout.trim();
  const session = async (userID, platformID) =>
    Session.connect({ ws: server.ws, userID, platformID, token: await server.api.token(userID, platformID) });
  const seqs = async (reader, end) => (await reader.pull(CHAT, 1, end)).map((message) => message.seq);
  const upTo = (end) => Array.from({ length: end }, (_, at) => at + 1);

  before(async () => {
    assert.ok(url && psql, 'RINGWIRE_TEST_POSTGRES and RINGWIRE_TEST_PSQL must name a server and a client');
    data = await mkdtemp(join(tmpdir(), 'ringwire-test-'));
    await writeFile(join(data, 'ringwire.toml'), `[control]\ndatabase_url = "${url}"\n`, { mode: 0o600 });
    server = await startServer({ data });
    await server.api.register('ann', 'bob');
    [ann, bob] = [await session('ann', ANDROID), await session('bob', IOS)];
  });
  after(async () => {
    await server?.stop();
    await rm(data, { recursive: true, force: true });
  });

  test('messages are delivered and stored', async () => {
    const pushed = once(bob, 'push', { signal: AbortSignal.timeout(10_000) });
    await ann.sendText('bob', 'one');
    await pushed;
    await bob.sendText('ann', 'two');
    assert.deepEqual(await seqs(bob, 2), [1, 2]);
    assert.equal(await sql(`SELECT max_seq FROM streams WHERE conversation_id = '${CHAT}'`), '2');
  });

  test('a restart goes on where it stopped', async () => {
    await server.stop();
    server = await startServer({ data });
    [ann, bob] = [await session('ann', ANDROID), await session('bob', IOS)];
    await ann.sendText('bob', 'three');
    assert.deepEqual(await seqs(bob, 3), [1, 2, 3]);
  });

  test('connections that break while messages are stored lose none', async () => {
    for (let round = 0; round < 10; round++) {
      const sends = Array.from({ length: 20 }, (_, n) => ann.sendText('bob', `${round}/${n}`));
      await sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringwire'");
      await Promise.all(sends);
    }
    assert.deepEqual(await seqs(bob, 203), upTo(203));
    assert.equal(
      await sql(
        `SELECT count(*) FROM messages m JOIN streams s ON s.id = m.id >> 32 WHERE s.conversation_id = '${CHAT}'`,
      ),
      '203',
    );
  });
});

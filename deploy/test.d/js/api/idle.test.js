// What the two processes cost when there is nothing to do, and how soon they are there.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { startServer } from '../lib/server.js';
import { Session } from '../lib/session.js';

/** Clock ticks a second, as /proc counts them on every Linux there is today. */
const TICKS = 100;
const QUIET_SECONDS = 3;
/** Part of one CPU. A process that spins takes all of one; one at rest, a thousandth. */
const MOST = 0.1;
/** deploy/up itself promises less than 2 s; machines that are busy otherwise get more. */
const MOST_SECONDS_TO_START = 10;

/** CPU seconds that a process has used. */
async function used(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field is the name, which may hold anything but ends with the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

describe('at rest', () => {
  let server;
  let seconds;
  before(async () => {
    const began = performance.now();
    server = await startServer();
    seconds = (performance.now() - began) / 1_000;
  });
  after(() => server?.stop());

  test('deploy/up is ready soon', (context) => {
    context.diagnostic(`ready after ${seconds.toFixed(2)} s`);
    assert.ok(seconds < MOST_SECONDS_TO_START, `${seconds} s`);
  });

  test('five idle sessions cost next to nothing', async (context) => {
    await server.api.register('a', 'b', 'c', 'd', 'e');
    const sessions = [];
    for (const userID of ['a', 'b', 'c', 'd', 'e']) {
      const token = await server.api.token(userID, 5);
      sessions.push(await Session.connect({ ws: server.ws, userID, token, platformID: 5 }));
    }
    // They have done what clients do before they fall silent.
    for (const session of sessions) await session.maxSeqs();
    for (let i = 1; i < 5; i++) await sessions[0].sendText(['b', 'c', 'd', 'e'][i - 1], 'hello');

    const before = {};
    for (const [name, pid] of Object.entries(server.pids)) before[name] = await used(pid);
    await new Promise((over) => setTimeout(over, QUIET_SECONDS * 1_000));
    for (const [name, pid] of Object.entries(server.pids)) {
      const part = ((await used(pid)) - before[name]) / QUIET_SECONDS;
      context.diagnostic(`${name}: ${(100 * part).toFixed(1)} % of a CPU`);
      assert.ok(part < MOST, `${name} used ${(100 * part).toFixed(1)} % of a CPU`);
    }
    assert.ok(sessions.every((session) => !session.closed));
    await Promise.all(sessions.map((session) => session.close()));
  });
});

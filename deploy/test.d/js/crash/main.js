// Kills gateway, control or both with SIGKILL at random moments while users chat, restarts them, and checks that
// nothing acknowledged is lost and nothing is there twice. Prints one `ok` or `not ok` line a promise.
//
//   node crash/main.js [--kills N] [--seed N]

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer } from '../lib/server.js';
import { audit } from './audit.js';
import { Processes } from './processes.js';
import { Random } from '../lib/random.js';
import { Ledger, User } from './traffic.js';

const USERS = 6;
const ANDROID = 2;
/** Acknowledgements that show that chat goes on. */
const ENOUGH = 40;
/** How long they may take with both processes up, and while control is down. */
const RECOVERY_MS = 30_000;
const WITHOUT_CONTROL_MS = 10_000;

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '12' }, seed: { type: 'string' } },
});
const kills = Number(values.kills);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const random = new Random(seed);
const began = Date.now();
const say = (text) => console.log(`[${((Date.now() - began) / 1000).toFixed(1).padStart(6)}s] ${text}`);
let bad = 0;
function verdict(name, problems) {
  if (problems.length === 0) {
    console.log(`ok - ${name}`);
    return;
  }
  bad++;
  console.log(`not ok - ${name}`);
  for (const problem of problems.slice(0, 10)) console.log(`  ${problem}`);
}

const data = await mkdtemp(join(tmpdir(), 'ringwire-crash-'));
const ledger = new Ledger();
let processes;
let running = Promise.resolve();
const users = [];

async function prepare() {
  const server = await startServer({ data });
  processes = new Processes(server);
  const ids = Array.from({ length: USERS }, (_, i) => `user${i}`);
  await server.api.register(...ids);
  const kinds = [
    { encoding: 'gob', gzip: true },
    { encoding: 'gob', gzip: false },
    { encoding: 'json', gzip: false },
  ];
  for (const [i, id] of ids.entries()) {
    const token = await server.api.token(id, ANDROID);
    const options = { ws: server.ws, token, platformID: ANDROID, ...kinds[i % kinds.length] };
    const peers = ids.filter((peer) => peer !== id);
    users.push(new User(id, options, peers, new Random(random.between(0, 2 ** 31)), ledger));
  }
  await server.stop();
  for (const name of ['control', 'gateway']) processes.start(name);
  await Promise.all([processes.ready('control'), processes.ready('gateway')]);
}

/** Waits until every user has had `ENOUGH / USERS` more messages acknowledged; the users who have not after `limit`. */
async function chatting(limit) {
  const marks = users.map((user) => user.acknowledged + ENOUGH / USERS);
  const deadline = Date.now() + limit;
  for (;;) {
    const behind = users.filter((user, i) => user.acknowledged < marks[i]);
    if (behind.length === 0 || Date.now() > deadline) return behind.map((user) => user.id);
    if (processes.failure) throw processes.failure;
    await sleep(5);
  }
}

const silent = [];
const cut = [];
const unrecovered = [];
const killed = { gateway: 0, control: 0, both: 0 };

async function killOnce(number) {
  const victim = random.pick([
    [45, 'gateway'],
    [35, 'control'],
    [20, 'both'],
  ]);
  await sleep(random.between(0, 700));
  const before = users.map((user) => user.lost);
  killed[victim]++;
  if (victim === 'control') {
    await processes.kill('control');
    // A known user may even lose the connection meanwhile and come back.
    const dropped = random.next() < 0.5 ? users[random.between(0, USERS - 1)] : undefined;
    dropped?.drop();
    for (const user of await chatting(WITHOUT_CONTROL_MS)) silent.push(`kill ${number}: ${user} could not send`);
    users.forEach((user, i) => {
      if (user !== dropped && user.lost !== before[i]) cut.push(`kill ${number}: ${user.id} lost its connection`);
    });
    processes.start('control');
  } else {
    const victims = victim === 'both' ? ['gateway', 'control'] : ['gateway'];
    await Promise.all(victims.map((name) => processes.kill(name)));
    await sleep(random.between(0, 300));
    if (random.next() < 0.5) victims.reverse();
    for (const name of victims) {
      processes.start(name);
      await sleep(random.between(0, 150));
    }
  }
  await Promise.all([processes.ready('control'), processes.ready('gateway')]);
  for (const user of await chatting(RECOVERY_MS)) unrecovered.push(`kill ${number}: ${user} could not send again`);
  say(`kill ${number} of ${kills}: ${victim}; ${ledger.acknowledged} acknowledged, ${ledger.resent} sent again`);
}

say(`seed ${seed}, ${kills} kills`);
try {
  await prepare();
  running = Promise.all(users.map((user) => user.run()));
  // Everybody has chatted with everybody before the first kill: known users, known conversations.
  for (let round = 0; round < 2; round++) {
    const behind = await chatting(RECOVERY_MS);
    if (behind.length > 0) throw new Error(`before any kill these users cannot send: ${behind}\n${ledger.faults.join('\n')}`);
  }
  for (let number = 1; number <= kills; number++) await killOnce(number);
  users.forEach((user) => user.stop());
  await running;

  say(`comparing ${ledger.sent.size} messages with history`);
  for (const { name, problems } of await audit(users, ledger)) verdict(name, problems);
  // What control had stored must be what the journal said: once more after a clean restart of both.
  await processes.stop('gateway');
  await processes.stop('control');
  for (const name of ['control', 'gateway']) processes.start(name);
  await Promise.all([processes.ready('control'), processes.ready('gateway')]);
  const again = (await audit(users, ledger)).flatMap(({ name, problems }) => problems.map((p) => `${name}: ${p}`));
  verdict('history is the same after a clean restart', again);
  verdict('users chat again after every kill', unrecovered);
  verdict('chat goes on while control is down', silent);
  verdict('connections outlive control', cut);
  verdict('no wrong refusal, kick, frame or order of pushes', ledger.faults);
  await processes.stop('gateway');
  await processes.stop('control');
} catch (error) {
  verdict('the run comes to its end', [String(error?.stack ?? error), ...ledger.faults]);
} finally {
  users.forEach((user) => user.stop());
  await processes?.abandon();
}
say(
  `${kills} kills (${killed.gateway} gateway, ${killed.control} control, ${killed.both} both), ` +
    `${ledger.acknowledged} acknowledged, ${ledger.resent} sent again, ${ledger.reconnects} lost connections`,
);
if (bad > 0) {
  say(`repeat with --seed ${seed}; data and logs are kept in ${data}`);
} else {
  await rm(data, { recursive: true, force: true });
}
process.exit(bad > 0 ? 1 : 0);

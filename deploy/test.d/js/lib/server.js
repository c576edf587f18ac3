// A Ringwire of a test's own: deploy/up on free ports with a new data folder.

import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from './api.js';

const UP = fileURLToPath(new URL('../../../up', import.meta.url));

function listening(port) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** The first of four free ports in a row, below the range from which the system hands out its own. */
export async function freePorts() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const base = 12_000 + 4 * Math.floor(Math.random() * 4_000);
    const held = await Promise.allSettled([0, 1, 2, 3].map((i) => listening(base + i)));
    const servers = held.filter((h) => h.status === 'fulfilled').map((h) => h.value);
    await Promise.all(servers.map((s) => new Promise((done) => s.close(done))));
    if (servers.length === 4) return base;
  }
  throw new Error('no four free ports in a row');
}

/**
 * Starts a server: `{api, ws, metrics, pids, data, base, stop(), logs()}`, where `api` is an Api with the admin logged in.
 * Options: `args` (more arguments of deploy/up), `data` (a folder to keep), `base` (port base).
 */
export async function startServer({ args = [], data, base } = {}) {
  const folder = data ?? (await mkdtemp(join(tmpdir(), 'ringwire-test-')));
  const portBase = base ?? (await freePorts());
  const up = spawn(UP, ['--json', '--no-build', '--data', folder, '--port-base', String(portBase), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = [];
  createInterface({ input: up.stderr }).on('line', (line) => said.push(line));
  const exited = once(up, 'exit');
  const line = await Promise.race([
    once(createInterface({ input: up.stdout }), 'line').then(([text]) => text),
    exited.then(([code]) => {
      throw new Error(`deploy/up ended with ${code}:\n${said.join('\n')}`);
    }),
  ]);
  const ready = JSON.parse(line);
  const api = new Api(ready.api, ready.secret, ready.adminUserID);
  api.adminToken = ready.adminToken;
  return {
    ...ready,
    api,
    base: portBase,
    async logs() {
      const read = (name) => readFile(join(folder, 'log', `${name}.log`), 'utf8').catch(() => '');
      return { control: await read('control'), gateway: await read('gateway'), up: said.join('\n') };
    },
    async stop() {
      up.kill('SIGTERM');
      const [code] = await exited;
      if (!data) await rm(folder, { recursive: true, force: true });
      if (code !== 0) throw new Error(`deploy/up ended with ${code}:\n${said.join('\n')}`);
    },
  };
}

// The two processes, started and killed one by one on a data folder that deploy/up has made.

import { spawn } from 'node:child_process';
import { openSync, closeSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const BIN = process.env.RINGWIRE_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'release');
const READY_MS = 30_000;

export class Processes {
  #running = new Map();

  /** `server` is what deploy/up printed when it ran on this folder. */
  constructor(server) {
    this.data = server.data;
    this.config = join(server.data, 'ringwire.toml');
    this.probes = { control: `${server.metrics.control}/healthz`, gateway: `${server.metrics.gateway}/readyz` };
  }

  start(name) {
    const log = openSync(join(this.data, 'log', `${name}.log`), 'a');
    const child = spawn(join(BIN, `ringwire-${name}`), ['--config', this.config], { stdio: ['ignore', log, log] });
    closeSync(log);
    const exit = new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })));
    const entry = { child, exit, expected: false };
    this.#running.set(name, entry);
    exit.then((how) => {
      if (!entry.expected) this.failure ??= new Error(`${name} ended by itself: ${JSON.stringify(how)}\n${this.tail(name)}`);
    });
  }

  /** kill -9 and wait until the process is gone. */
  async kill(name) {
    await this.#end(name, 'SIGKILL');
  }

  /** A clean stop. */
  async stop(name) {
    if (this.#running.has(name)) await this.#end(name, 'SIGTERM');
  }

  async #end(name, signal) {
    const entry = this.#running.get(name);
    entry.expected = true;
    entry.child.kill(signal);
    await entry.exit;
    this.#running.delete(name);
  }

  /** Waits until `control` answers, or until `gateway` serves and has reached control. */
  async ready(name) {
    const deadline = Date.now() + READY_MS;
    for (;;) {
      if (this.failure) throw this.failure;
      try {
        const response = await fetch(this.probes[name], { signal: AbortSignal.timeout(1_000) });
        await response.arrayBuffer();
        if (response.status === 200) return;
      } catch {
        // Not listening yet.
      }
      if (Date.now() > deadline) throw new Error(`${name} is not ready after ${READY_MS} ms\n${this.tail(name)}`);
      await sleep(10);
    }
  }

  tail(name) {
    try {
      return readFileSync(join(this.data, 'log', `${name}.log`), 'utf8').split('\n').slice(-25).join('\n');
    } catch {
      return '';
    }
  }

  /** Ends what still runs, without ceremony. */
  async abandon() {
    for (const name of [...this.#running.keys()]) await this.kill(name);
  }
}

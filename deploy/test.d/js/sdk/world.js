// What every SDK story needs: a server, the page with the SDKs and a browser.

import { randomBytes } from 'node:crypto';
import { startServer } from '../lib/server.js';
import { Device, launchBrowser } from './device.js';
import { startSite } from './site.js';

export class World {
  #devices = [];

  static async start() {
    const world = new World();
    world.server = await startServer();
    try {
      world.site = await startSite();
      world.browser = await launchBrowser();
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  get api() {
    return this.server.api;
  }

  /** Registers new users, one for each name: their ids. */
  async users(...names) {
    const tail = randomBytes(3).toString('hex');
    const ids = names.map((name) => `${name}${tail}`);
    await this.api.register(...ids);
    return ids;
  }

  /** A device with an empty profile; `sdk` is `wasm` or `js`. */
  async device(sdk) {
    const device = await Device.create(this.browser, this.site.url, this.server, sdk);
    this.#devices.push(device);
    return device;
  }

  /** A device with an empty profile on which `userID` has logged in. */
  async loggedIn(sdk, userID, token) {
    const device = await this.device(sdk);
    await device.login(userID, token);
    return device;
  }

  /** Closes all devices: at the end of a story. */
  async clear() {
    await Promise.all(this.#devices.splice(0).map((device) => device.close()));
  }

  async stop() {
    await this.browser?.close();
    await this.site?.close();
    await this.server?.stop();
  }
}

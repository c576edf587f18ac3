// A simulated device: one browser profile with one page that runs an official SDK.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.RINGWIRE_CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
const WEB = 5;

/** Events that say that something went wrong; a device keeps count of them. */
const FAILURES = ['OnConnectFailed', 'OnSyncServerFailed', 'OnUserTokenExpired', 'OnUserTokenInvalid', 'OnKickedOffline'];

export function launchBrowser() {
  if (!CHROMIUM) throw new Error('chromium is not installed');
  return chromium.launch({
    executablePath: CHROMIUM,
    // Without the last four Chromium calls hosts outside.
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/** An SDK call failed. */
export class SdkError extends Error {
  constructor(method, reply) {
    super(`${method}: ${reply.errCode} ${reply.errMsg}`);
    this.code = reply.errCode;
  }
}

export class Device {
  /** Everything the SDK reported since the last login or load of the page, in order. */
  events = [];
  #watchers = new Set();
  #log = [];

  /** A new, empty profile. `sdk` is `wasm` or `js`. */
  static async create(browser, siteURL, server, sdk) {
    const device = new Device();
    device.server = server;
    device.sdk = sdk;
    device.url = `${siteURL}?sdk=${sdk}`;
    device.context = await browser.newContext();
    device.page = await device.context.newPage();
    device.page.on('console', (line) => device.#keep(`console: ${line.text()}`));
    device.page.on('pageerror', (error) => device.#keep(`page error: ${error.message}`));
    await device.page.exposeFunction('sdkReport', (report) => device.#reported(report));
    await device.open();
    return device;
  }

  /** Loads the page in the profile as it is; logged out until `login`. */
  async open() {
    await this.#load(() => this.page.goto(this.url));
  }

  #keep(line) {
    this.#log.push(line.slice(0, 400));
    if (this.#log.length > 60) this.#log.shift();
  }

  #reported(report) {
    this.events.push(report);
    if (FAILURES.includes(report.event)) this.#keep(`event: ${JSON.stringify(report)}`);
    for (const watcher of [...this.#watchers]) watcher();
  }

  async #load(navigate) {
    this.events = [];
    await navigate();
    await this.page.waitForFunction(() => window.sdkReady === true, undefined, { timeout: 60_000 });
  }

  /** The page again in the same profile: the app was closed and opened. Logged out until `login`. */
  async restart() {
    await this.#load(() => this.page.reload());
  }

  async call(method, ...args) {
    const reply = await this.page.evaluate(([m, a]) => window.sdkCall(m, a), [method, args]);
    if (!reply.ok) throw new SdkError(method, reply);
    return reply.data;
  }

  /**
   * Waits until `found(events)` gives something other than undefined or false, and returns it. It is asked again
   * with every report of the SDK; it may be asynchronous.
   */
  async until(what, found, timeout = 30_000) {
    return new Promise((resolve, reject) => {
      let asking = false;
      let again = false;
      const end = (settle, value) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        settle(value);
      };
      const look = async () => {
        again = true;
        if (asking) return;
        asking = true;
        try {
          while (again) {
            again = false;
            const result = await found(this.events);
            if (result !== undefined && result !== false) {
              end(resolve, result);
              return;
            }
          }
        } catch (error) {
          end(reject, error);
        } finally {
          asking = false;
        }
      };
      const timer = setTimeout(() => {
        const seen = this.events.map((e) => e.event).join(' ');
        end(reject, new Error(`${this.userID}: no ${what} within ${timeout} ms; events: ${seen}\n${this.#log.join('\n')}`));
      }, timeout);
      this.#watchers.add(look);
      look();
    });
  }

  event(name, timeout) {
    return this.until(name, (events) => events.find((e) => e.event === name), timeout);
  }

  count(name) {
    return this.events.filter((e) => e.event === name).length;
  }

  /** The events that report a failure. */
  failures() {
    return this.events.filter((e) => FAILURES.includes(e.event));
  }

  /** Calls `login` and waits for nothing: the token is first tested by the connection. */
  async startLogin(userID, token) {
    this.userID = userID;
    this.token = token ?? (await this.server.api.token(userID, WEB));
    this.events = [];
    await this.call('login', {
      userID,
      token: this.token,
      platformID: WEB,
      apiAddr: this.server.api.base,
      wsAddr: this.server.ws,
      logLevel: 3,
      isLogStandardOutput: true,
    });
  }

  /** Logs in and waits for the connection and the end of the first sync. */
  async login(userID, token) {
    await this.startLogin(userID, token);
    await this.event('OnConnectSuccess');
    await this.event('OnSyncServerFinish', 60_000);
  }

  async #send(message, recvID, groupID = '') {
    return this.call('sendMessage', { recvID, groupID, message });
  }

  async sendText(recvID, text) {
    return this.#send(await this.call('createTextMessage', text), recvID);
  }

  async sendCustom(recvID, data) {
    const parts = { data: JSON.stringify(data), extension: 'x', description: 'd' };
    return this.#send(await this.call('createCustomMessage', parts), recvID);
  }

  /** All messages announced since the last login, in the order of the announcements. */
  received() {
    return this.events
      .filter((e) => e.event === 'OnRecvNewMessages' || e.event === 'onRecvOfflineNewMessages')
      .flatMap((e) => (typeof e.data === 'string' ? JSON.parse(e.data) : e.data));
  }

  /** Waits until `count` messages of `sendID` have been announced; returns them in that order. */
  async messagesFrom(sendID, count) {
    return this.until(`${count} messages from ${sendID}`, () => {
      const messages = this.received().filter((m) => m.sendID === sendID);
      return messages.length >= count && messages;
    });
  }

  /** The single chat with `userID`, or undefined. */
  async conversationWith(userID) {
    const list = await this.call('getAllConversationList');
    return list.find((c) => c.userID === userID);
  }

  /** The newest `count` messages of a conversation, oldest first. */
  async history(conversationID, count = 50) {
    const page = await this.call('getAdvancedHistoryMessageList', {
      conversationID,
      count,
      startClientMsgID: '',
      viewType: 0,
    });
    return page.messageList;
  }

  async close() {
    await this.context.close();
  }
}

/** What a message says, for comparisons. */
export function said(message) {
  if (message.contentType === 101) return message.textElem.content;
  if (message.contentType === 110) return JSON.parse(message.customElem.data);
  return { contentType: message.contentType };
}

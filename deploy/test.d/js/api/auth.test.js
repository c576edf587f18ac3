// Tokens: issue, check, policy, kick.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { ApiError } from '../lib/api.js';
import { claims, forge } from '../lib/jwt.js';
import { startServer } from '../lib/server.js';
import { Refused, Session } from '../lib/session.js';

const ANDROID = 2;
const IOS = 1;
const WEB = 5;
const DAYS_90 = 90 * 86_400;

const api = (code) => (error) => error instanceof ApiError && error.code === code;
const refused = (code) => (error) => error instanceof Refused && error.code === code;

describe('auth', () => {
  let server;
  let call;
  before(async () => {
    server = await startServer();
    call = server.api.call.bind(server.api);
    await server.api.register('ann', 'bob', 'cat', 'dan', 'eve');
  });
  after(() => server?.stop());

  const connect = (userID, platformID, token) => Session.connect({ ws: server.ws, userID, platformID, token });
  const check = (token) => call('/user/get_users_info', { userIDs: ['ann'] }, token);

  test('the admin token needs the secret and a configured id', async () => {
    const data = await call('/auth/get_admin_token', { secret: server.secret, userID: 'imAdmin' }, '');
    assert.equal(data.expireTimeSeconds, DAYS_90);
    const { UserID, PlatformID, exp, iat } = claims(data.token);
    assert.equal(UserID, 'imAdmin');
    assert.equal(PlatformID, 10);
    assert.ok(Math.abs(exp - iat - 5 - DAYS_90) <= 1);
    await assert.rejects(call('/auth/get_admin_token', { secret: 'wrong', userID: 'imAdmin' }, ''), api(1002));
    await assert.rejects(call('/auth/get_admin_token', { secret: server.secret, userID: '' }, ''), api(1001));
    const stranger = call('/auth/get_admin_token', { secret: server.secret, userID: 'ann' }, '');
    await assert.rejects(stranger, (error) => api(1001)(error) && !error.detail.includes('imAdmin'));
  });

  test('an admin token survives the next one', async () => {
    const login = () => call('/auth/get_admin_token', { secret: server.secret, userID: 'imAdmin' }, '');
    const first = (await login()).token;
    await login();
    await login();
    await check(first);
  });

  test('only an admin issues user tokens, for known users and platforms', async () => {
    const token = await server.api.token('ann', IOS);
    await assert.rejects(call('/auth/get_user_token', { userID: 'bob', platformID: IOS }, token), api(1002));
    await assert.rejects(server.api.token('ann', 10), api(1002));
    await assert.rejects(server.api.token('imAdmin', IOS), api(1002));
    await assert.rejects(server.api.token('nobody', IOS), api(1004));
    for (const platform of [0, 12, -1]) await assert.rejects(server.api.token('ann', platform), api(1001));
  });

  test('parse_token tells user, platform and when it ends', async () => {
    const token = await server.api.token('bob', ANDROID);
    const data = await call('/auth/parse_token', { token }, '');
    assert.deepEqual(data, { userID: 'bob', platformID: ANDROID, expireTimeSeconds: claims(token).exp });
  });

  test('every defect of a token has its code', async () => {
    const now = Math.floor(Date.now() / 1000);
    const body = { UserID: 'ann', PlatformID: IOS, exp: now + 1000, iat: now - 5 };
    const cases = [
      ['nonsense', 1503],
      ['a.b.c', 1503],
      [`Bearer ${await server.api.token('ann', IOS)}`, 1503],
      [forge(body, 'another secret of some length'), 1505],
      [forge(body, server.secret, 'none'), 1505],
      [forge(body, server.secret, 'HS512'), 1505],
      [forge({ ...body, exp: now - 10 }, server.secret), 1501],
      [forge(body, server.secret), 1507],
    ];
    for (const [token, code] of cases) {
      await assert.rejects(check(token), (error) => api(code)(error) && !error.message.includes(token), `${code}`);
      await assert.rejects(connect('ann', IOS, token), refused(code), `WebSocket ${code}`);
    }
    const { exp, ...endless } = body;
    await assert.rejects(check(forge(endless, server.secret)), (error) => error.code >= 1501 && error.code <= 1507);
  });

  test('a new token of a platform kicks the old one, for good', async () => {
    const old = await server.api.token('cat', IOS);
    const other = await server.api.token('cat', WEB);
    // Two tokens of one second are the same string.
    await new Promise((next) => setTimeout(next, 1_100 - (Date.now() % 1_000)));
    const now = await server.api.token('cat', IOS);
    assert.notEqual(old, now);
    await assert.rejects(check(old), api(1506));
    await check(now);
    await check(other);
    await server.api.token('cat', ANDROID);
    await assert.rejects(check(old), api(1506), 'still kicked, not unknown');
    await assert.rejects(connect('cat', IOS, old), refused(1506));
  });

  test('force_logout kicks connections and tokens of a platform', async () => {
    const phone = await server.api.token('dan', IOS);
    const web = await server.api.token('dan', WEB);
    const onPhone = await connect('dan', IOS, phone);
    const onWeb = await connect('dan', WEB, web);
    const kicked = once(onPhone, 'kicked', { signal: AbortSignal.timeout(10_000) });
    const closed = once(onPhone, 'close', { signal: AbortSignal.timeout(10_000) });
    await call('/auth/force_logout', { userID: 'dan', platformID: IOS });
    await kicked;
    await closed;
    await assert.rejects(check(phone), api(1506));
    await assert.rejects(connect('dan', IOS, phone), refused(1506));
    await check(web);
    assert.equal(onWeb.closed, false);
    await onWeb.close();
    await call('/auth/force_logout', { userID: 'nobody', platformID: IOS });
    await assert.rejects(call('/auth/force_logout', { userID: 'dan', platformID: 99 }), api(1001));
    await assert.rejects(call('/auth/force_logout', { userID: 'dan', platformID: WEB }, web), api(1002));
  });

  test('online state follows connections', async () => {
    const status = async () => (await call('/user/get_users_status', { userIDs: ['eve'] })).statusList[0];
    assert.deepEqual(await status(), { userID: 'eve', status: 0, platformIDs: null });
    const session = await connect('eve', ANDROID, await server.api.token('eve', ANDROID));
    assert.deepEqual(await status(), { userID: 'eve', status: 1, platformIDs: [ANDROID] });
    await session.close();
    for (let tries = 0; (await status()).status !== 0; tries++) {
      assert.ok(tries < 100, 'still online');
      await new Promise((next) => setTimeout(next, 20));
    }
  });
});

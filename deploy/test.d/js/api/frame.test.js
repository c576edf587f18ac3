// The frame of every call: headers, envelope, errors, CORS, gzip, limits.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { request } from 'node:http';
import { startServer } from '../lib/server.js';

const JSON_TYPE = 'application/json';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('frame of the API', () => {
  let server;
  let api;
  let token;
  before(async () => {
    server = await startServer();
    api = server.api;
    token = api.adminToken;
  });
  after(() => server?.stop());

  const post = (path, headers, body = '{}') =>
    api.raw(path, { headers: { 'Content-Type': JSON_TYPE, ...headers }, body });
  const full = (extra) => ({ operationID: 'op', token, ...extra });

  test('success: envelope with keys in order, headers', async () => {
    const reply = await post('/user/account_check', full(), JSON.stringify({ checkUserIDs: ['nobody'] }));
    assert.equal(reply.status, 200);
    assert.equal(reply.text, '{"errCode":0,"errMsg":"","errDlt":"","data":{"results":[{"userID":"nobody","accountStatus":0}]}}');
    assert.equal(reply.headers.get('content-type'), JSON_TYPE);
    assert.match(reply.headers.get('x-http-id'), UUID);
  });

  test('success of a call without fields has no data', async () => {
    const body = JSON.stringify({ users: [{ userID: 'frame1', nickname: 'n' }] });
    const reply = await post('/user/user_register', full(), body);
    assert.equal(reply.text, '{"errCode":0,"errMsg":"","errDlt":""}');
  });

  test('a failure has no data and status 200', async () => {
    const reply = await post('/user/account_check', full(), '{}');
    assert.equal(reply.status, 200);
    assert.deepEqual(Object.keys(reply.json), ['errCode', 'errMsg', 'errDlt']);
    assert.equal(reply.json.errCode, 1001);
    assert.equal(reply.json.errMsg, 'ArgsError');
  });

  test('operationID is asked for first, then token; neither logs a client out', async () => {
    const none = await post('/user/get_users_info', {});
    assert.deepEqual(none.json, { errCode: 1001, errMsg: 'ArgsError', errDlt: 'header must have operationID' });
    const one = await post('/user/get_users_info', { operationID: 'op' });
    assert.deepEqual(one.json, { errCode: 1001, errMsg: 'ArgsError', errDlt: 'header must have token' });
    const open = await post('/auth/get_admin_token', {});
    assert.equal(open.json.errDlt, 'header must have operationID');
  });

  test('the routes without a token are matched exactly', async () => {
    const reply = await post('/auth/parse_token_more', { operationID: 'op' });
    assert.equal(reply.json.errDlt, 'header must have token');
  });

  test('unknown paths: the headers are checked first, then 404', async () => {
    assert.equal((await post('/no/such', {})).json.errCode, 1001);
    const reply = await post('/no/such', full());
    assert.equal(reply.status, 404);
    assert.equal(reply.text, '404 page not found');
    const get = await api.raw('/user/get_users_info', { method: 'GET' });
    assert.equal(get.status, 404);
  });

  test('a surplus slash is redirected', async () => {
    const reply = await post('/user/get_users_info/', full());
    assert.equal(reply.status, 307);
    assert.equal(new URL(reply.headers.get('location'), api.base).pathname, '/user/get_users_info');
  });

  test('bad JSON is 1001 and says nothing of the inside', async () => {
    for (const body of ['', '{', '[]', '"x"', '{"userIDs":"x"}', '{"userIDs":["a"]} tail', '{"userIDs":[1]}']) {
      const reply = await post('/user/get_users_info', full(), body);
      assert.equal(reply.status, 200, body);
      assert.equal(reply.json.errCode, 1001, body);
      assert.equal(reply.json.errMsg, 'ArgsError', body);
      assert.doesNotMatch(reply.json.errDlt, /\.rs\b|stack|panicked/i);
    }
  });

  test('keys are matched without case, unknown ones ignored, null is nothing', async () => {
    const reply = await post('/user/get_users_info', full(), '{"USERIDS":["imAdmin"],"other":{"x":[1]},"userIDs":null}');
    assert.ok([0, 1001].includes(reply.json.errCode));
    const folded = await post('/user/get_users_info', full(), '{"userids":["imAdmin"],"other":{"x":[1]}}');
    assert.equal(folded.json.data.usersInfo[0].userID, 'imAdmin');
  });

  test('empty lists are null and 64-bit numbers are numbers', async () => {
    const none = await post('/user/get_users_info', full(), '{"userIDs":["nobody-here"]}');
    assert.match(none.text, /"data":\{"usersInfo":null\}/);
    const some = await post('/user/get_users_info', full(), '{"userIDs":["imAdmin"]}');
    assert.match(some.text, /"createTime":[1-9]\d{11,}/);
  });

  test('CORS on every reply, and OPTIONS on any path', async () => {
    for (const path of ['/user/get_users_info', '/no/such', '/auth/get_admin_token']) {
      const preflight = await api.raw(path, { method: 'OPTIONS' });
      assert.equal(preflight.status, 200);
      assert.equal(preflight.text, '"Options Request!"');
      const failed = await post(path, {});
      for (const reply of [preflight, failed]) {
        assert.equal(reply.headers.get('access-control-allow-origin'), '*');
        assert.equal(reply.headers.get('access-control-allow-headers'), '*');
        assert.equal(reply.headers.get('access-control-allow-methods'), '*');
        assert.equal(reply.headers.get('access-control-max-age'), '172800');
      }
    }
  });

  test('gzip for those who accept it, not for short replies', async () => {
    const users = Array.from({ length: 40 }, (_, i) => ({ userID: `gzip${i}`, nickname: `user number ${i}` }));
    await api.call('/user/user_register', { users });
    const ask = (encoding, body) =>
      new Promise((resolve, reject) => {
        const headers = { ...full(), 'Content-Type': JSON_TYPE };
        if (encoding) headers['Accept-Encoding'] = encoding;
        const call = request(`${api.base}/user/get_users_info`, { method: 'POST', headers }, (response) => {
          const parts = [];
          response.on('data', (part) => parts.push(part));
          response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(parts) }));
        });
        call.on('error', reject);
        call.end(JSON.stringify(body));
      });
    const long = { userIDs: users.map((u) => u.userID) };
    const zipped = await ask('gzip', long);
    assert.equal(zipped.headers['content-encoding'], 'gzip');
    assert.match(zipped.headers.vary ?? '', /accept-encoding/i);
    assert.equal(JSON.parse(gunzipSync(zipped.body)).data.usersInfo.length, 40);
    assert.equal((await ask(undefined, long)).headers['content-encoding'], undefined);
    assert.equal((await ask('gzip', { userIDs: ['gzip1'] })).headers['content-encoding'], undefined);
  });

  test('a body over 16 MiB is refused with an envelope', async () => {
    const body = JSON.stringify({ userIDs: ['x'.repeat(16 << 20)] });
    const reply = await post('/user/get_users_info', full(), body);
    assert.equal(reply.json.errCode, 1001);
    assert.notEqual(reply.json.errDlt, '');
    assert.equal((await post('/user/get_users_info', full(), '{"userIDs":["imAdmin"]}')).json.errCode, 0);
  });

  test('health and metrics are served on their own ports', async () => {
    for (const base of Object.values(server.metrics)) {
      assert.equal((await fetch(`${base}/healthz`)).status, 200);
      const metrics = await fetch(`${base}/metrics`);
      assert.equal(metrics.status, 200);
      assert.match(await metrics.text(), /^# (HELP|TYPE) /m);
    }
    assert.equal((await fetch(`${server.metrics.gateway}/readyz`)).status, 200);
  });
});

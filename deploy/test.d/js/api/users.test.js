// Registration and profiles.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { ApiError } from '../lib/api.js';
import { startServer } from '../lib/server.js';

const IOS = 1;
const failsWith = (code) => (error) => error instanceof ApiError && error.code === code;

describe('users', () => {
  let server;
  let call;
  let own;
  before(async () => {
    server = await startServer();
    call = server.api.call.bind(server.api);
    await server.api.register('ann', 'bob');
    own = await server.api.token('ann', IOS);
  });
  after(() => server?.stop());

  const info = async (userID) => (await call('/user/get_users_info', { userIDs: [userID] })).usersInfo?.[0];

  test('registering: all or none, each reason with its code', async () => {
    const register = (users, token) => call('/user/user_register', { users }, token);
    await assert.rejects(register([]), failsWith(1001));
    await assert.rejects(register(undefined), failsWith(1001));
    await assert.rejects(register([{ userID: 'x1', nickname: '' }]), failsWith(1001));
    await assert.rejects(register([{ userID: '', nickname: 'x' }]), failsWith(1001));
    await assert.rejects(register([{ userID: 'a:b', nickname: 'x' }]), failsWith(1001));
    const twice = { userID: 'x2', nickname: 'x' };
    await assert.rejects(register([twice, twice]), failsWith(1001));
    await assert.rejects(register([{ userID: 'x3', nickname: 'x' }], own), failsWith(1002));
    await assert.rejects(register([{ userID: 'x4', nickname: 'x' }, { userID: 'ann', nickname: 'x' }]), failsWith(1102));
    const known = await call('/user/account_check', { checkUserIDs: ['x4', 'ann', 'imAdmin'] });
    assert.deepEqual(known.results.map((r) => r.accountStatus), [0, 1, 1]);
  });

  test('a profile is read in the order asked for, unknown ids left out', async () => {
    const data = await call('/user/get_users_info', { userIDs: ['bob', 'nobody', 'ann', 'bob'] }, own);
    assert.deepEqual(data.usersInfo.map((u) => u.userID), ['bob', 'ann']);
    assert.deepEqual(Object.keys(data.usersInfo[0]).sort(), [
      'appMangerLevel', 'createTime', 'ex', 'faceURL', 'globalRecvMsgOpt', 'nickname', 'userID',
    ]);
    await assert.rejects(call('/user/get_users_info', { userIDs: [] }, own), failsWith(1001));
  });

  test('a user changes only the own profile; only given fields change', async () => {
    const update = (userInfo, token) => call('/user/update_user_info_ex', { userInfo }, token);
    await update({ userID: 'ann', nickname: 'Anna', ex: 'note' }, own);
    let ann = await info('ann');
    assert.equal(ann.nickname, 'Anna');
    assert.equal(ann.ex, 'note');
    await update({ userID: 'ann', ex: '' }, own);
    ann = await info('ann');
    assert.equal(ann.nickname, 'Anna');
    assert.equal(ann.ex, '');
    await assert.rejects(update({ userID: 'bob', nickname: 'x' }, own), failsWith(1002));
    await update({ userID: 'bob', nickname: 'Bobby' });
    assert.equal((await info('bob')).nickname, 'Bobby');
    await assert.rejects(update({ userID: 'nobody', nickname: 'x' }), failsWith(1004));
    await assert.rejects(update({ userID: 'ann', globalRecvMsgOpt: 7 }, own), failsWith(1001));
  });

  test('lists of all users are for admins', async () => {
    const pagination = { pageNumber: 1, showNumber: 100 };
    await assert.rejects(call('/user/get_users', { pagination }, own), failsWith(1002));
    const page = await call('/user/get_users', { pagination });
    assert.ok(page.total >= 2);
    assert.ok(page.users.some((u) => u.userID === 'ann'));
    await assert.rejects(call('/user/get_users', {}), failsWith(1001));
  });

  test('the calls of a first login answer, and say that there is nothing', async () => {
    const first = { userID: 'ann', versionID: '', version: 0 };
    for (const path of [
      '/friend/get_incremental_friends',
      '/group/get_incremental_join_groups',
      '/conversation/get_incremental_conversations',
    ]) {
      const data = await call(path, first, own);
      assert.equal(data.full, true, path);
      assert.match(data.versionID, /^[0-9a-f]{24}$/, path);
      assert.ok(data.version >= 1, path);
      const again = await call(path, { userID: 'ann', versionID: data.versionID, version: data.version }, own);
      assert.equal(again.full, false, path);
      assert.equal(again.versionID, data.versionID, path);
      await assert.rejects(call(path, { ...first, userID: 'bob' }, own), failsWith(1002), path);
    }
    const page = { pagination: { pageNumber: 1, showNumber: 100 } };
    assert.equal((await call('/friend/get_friend_list', { userID: 'ann', ...page }, own)).friendsInfo, null);
    assert.equal((await call('/friend/get_black_list', { userID: 'ann', ...page }, own)).total, 0);
    assert.equal((await call('/group/get_joined_group_list', { fromUserID: 'ann', ...page }, own)).total, 0);
    assert.equal((await call('/conversation/get_owner_conversation', { userID: 'ann', ...page }, own)).total, 0);
  });
});

// Bad clients against the running binaries. Each is answered or closed as documented, and two bystanders who chat all
// the while notice nothing.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bystanders } from '../lib/bystanders.js';
import { encodeRequest } from '../lib/gob.js';
import { encode } from '../lib/messages.js';
import { Random } from '../lib/random.js';
import { Op, RawConnection, frame, rawSession, sessionQuery, upgradeRequest } from '../lib/raw.js';
import { startServer } from '../lib/server.js';
import { Req, newMessageID } from '../lib/session.js';

const ANDROID = 2;
const PROTOCOL = 1002;
const INVALID = 1007;
const POLICY = 1008;
const TOO_BIG = 1009;

const MAX_MESSAGE = 51_200;
const SEED = Number(process.env.RINGWIRE_TEST_SEED || 20_261);

// Short times, so that a slow client is dropped while the test looks.
const CONFIG = `[gateway]
cores = 2
handshake_timeout_ms = 1500

[control]
read_timeout_ms = 1500
`;

describe(`bad input (seed ${SEED})`, () => {
  let folder;
  let server;
  let bystanders;
  let mallory;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ringwire-test-'));
    await writeFile(join(folder, 'ringwire.toml'), CONFIG);
    server = await startServer({ data: folder });
    await server.api.register('ann', 'bob', 'mallory', 'victim');
    mallory = { userID: 'mallory', platformID: ANDROID, token: await server.api.token('mallory', ANDROID) };
    bystanders = await Bystanders.start(server, 'ann', 'bob');
  });
  after(async () => {
    await server?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const envelope = (fields = {}) => ({
    reqIdentifier: Req.maxSeqs,
    token: '',
    sendID: 'mallory',
    operationID: 'op',
    msgIncr: '1',
    data: encode('sdkws.GetMaxSeqReq', { userID: 'mallory' }).toString('base64'),
    ...fields,
  });
  const json = (fields) => Buffer.from(JSON.stringify(envelope(fields)));
  const binary = (payload, options) => frame(Op.binary, payload, options);
  const gob = (fields = {}) => {
    const { data, ...rest } = envelope(fields);
    return encodeRequest({ ...rest, data: Buffer.from(data, 'base64') });
  };

  /** The next reply on a JSON session without gzip. */
  const reply = async (raw) => {
    for (;;) {
      const next = await raw.nextFrame();
      assert.ok(next, 'the session ended');
      assert.equal(next.opcode, Op.binary);
      const response = JSON.parse(next.payload);
      if (response.reqIdentifier !== 2001) return response;
    }
  };
  /** The session is open and serves. */
  const serves = async (raw) => {
    raw.write(binary(json({ msgIncr: 'alive' })));
    const { msgIncr, errCode } = await reply(raw);
    assert.deepEqual([msgIncr, errCode], ['alive', 0]);
    raw.drop();
  };

  describe('frames end one session with their close code', () => {
    const halves = (payload) => [payload.subarray(0, payload.length / 2), payload.subarray(payload.length / 2)];
    const cases = [
      ['a frame without mask', PROTOCOL, () => [binary(json(), { mask: false })]],
      ['reserved data opcode 3', PROTOCOL, () => [frame(3, 'x')]],
      ['reserved control opcode 11', PROTOCOL, () => [frame(11, 'x')]],
      ['RSV1, as a compressing client sets it', PROTOCOL, () => [binary(json(), { rsv: 4 })]],
      ['RSV3', PROTOCOL, () => [frame(Op.ping, '', { rsv: 1 })]],
      ['a ping in fragments', PROTOCOL, () => [frame(Op.ping, 'x', { fin: false })]],
      ['a ping of 126 bytes', PROTOCOL, () => [frame(Op.ping, 'x'.repeat(126))]],
      ['a continuation of nothing', PROTOCOL, () => [frame(Op.continuation, 'x')]],
      ['a message inside another', PROTOCOL, () => [binary(json(), { fin: false }), binary(json())]],
      ['a length of 2^63', PROTOCOL, () => [binary('', { length: 1n << 63n })]],
      ['a close of one byte', PROTOCOL, () => [frame(Op.close, 'x')]],
      ['a close with a forbidden code', PROTOCOL, () => [frame(Op.close, Buffer.from([1005 >> 8, 1005 & 255]))]],
      ['an announced 2^62 bytes', TOO_BIG, () => [binary('', { length: 1n << 62n })]],
      ['one byte too many', TOO_BIG, () => [binary(Buffer.alloc(MAX_MESSAGE + 1))]],
      [
        'one byte too many, in fragments',
        TOO_BIG,
        () => [
          binary(Buffer.alloc(MAX_MESSAGE), { fin: false }),
          frame(Op.continuation, '', { fin: false }),
          frame(Op.continuation, 'x'),
        ],
      ],
      [
        'empty fragments without end',
        POLICY,
        () => [binary('', { fin: false }), ...Array.from({ length: 6_000 }, () => frame(Op.continuation, '', { fin: false }))],
      ],
      ['text that is not UTF-8', INVALID, () => [frame(Op.text, Buffer.from([0x7b, 0xff]))]],
      ['text that ends inside a character', INVALID, () => [frame(Op.text, Buffer.from('{"type":"ping","body":"é"}').subarray(0, 24))]],
      ['text that is not JSON', INVALID, () => [frame(Op.text, 'hello')]],
      ['text that is another JSON', INVALID, () => [frame(Op.text, '[1]')]],
      ['text of another type', POLICY, () => [frame(Op.text, '{"type":"hack"}')]],
      ['a request as text', INVALID, () => [frame(Op.text, json())]],
      ['an empty message', INVALID, () => [binary('')]],
      ['half a request', INVALID, () => [binary(halves(json())[0])]],
      ['bytes after a request', INVALID, () => [binary(`${json()}{}`)]],
      ['a list', INVALID, () => [binary('[]')]],
      ['a body that nests 20,000 deep', INVALID, () => [binary('['.repeat(20_000))]],
      ['a key that nests 10,000 deep', INVALID, () => [binary(`{"x":${'{"x":'.repeat(8_000)}`)]],
      ['an identifier as text', INVALID, () => [binary(json({ reqIdentifier: '1001' }))]],
      ['an identifier as a fraction', INVALID, () => [binary(json({ reqIdentifier: 1001.5 }))]],
      ['an identifier beyond 32 bits', INVALID, () => [binary(json({ reqIdentifier: 2 ** 40 }))]],
      ['an identifier without end', INVALID, () => [binary(String(json()).replace('1001', '9'.repeat(2_000)))]],
      ['a number as user', INVALID, () => [binary(json({ sendID: 7 }))]],
      ['data that is not base64', INVALID, () => [binary(json({ data: '!!!' }))]],
      ['data that is an object', INVALID, () => [binary(json({ data: {} }))]],
      ['gob on a JSON session', INVALID, () => [binary(gob())]],
      ["another user's id", POLICY, () => [binary(json({ sendID: 'ann' }))]],
      ['no user id', POLICY, () => [binary(json({ sendID: '' }))]],
      ...[0, -1, 1, 1000, 1008, 2001, 2002, 3001, 99_999].map((id) => [
        `the identifier ${id}`,
        POLICY,
        () => [binary(json({ reqIdentifier: id }))],
      ]),
    ];
    for (const [name, code, parts] of cases) {
      test(`${name}: ${code}`, async () => {
        const raw = await rawSession(server.ws, mallory);
        raw.write(...parts());
        assert.deepEqual(await raw.outcome(), { code, frames: [] });
        await bystanders.served();
      });
    }
  });

  describe('gob and gzip end one session with their close code', () => {
    const zipped = () => gzipSync(gob());
    const flipped = (bytes, at) => {
      const copy = Buffer.from(bytes);
      copy[at < 0 ? copy.length + at : at] ^= 0xff;
      return copy;
    };
    const plain = [
      ['not gob', INVALID, () => Buffer.from('hello, this is not gob')],
      ['JSON', INVALID, () => json()],
      ['half a value', INVALID, () => gob().subarray(0, gob().length - 20)],
      ['a length of 2^64', INVALID, () => Buffer.concat([Buffer.from([0xf8]), Buffer.alloc(8, 0xff)])],
      ['a definition only', INVALID, () => gob().subarray(0, 1 + gob()[0])],
      ['definitions that name themselves', INVALID, () => Buffer.from([7, 0xff, 0x81, 2, 1, 2, 0xff, 0x82])],
      ["another user's id", POLICY, () => gob({ sendID: 'ann' })],
      ['an unknown identifier', POLICY, () => gob({ reqIdentifier: 2001 })],
    ];
    const packed = [
      ['not gzip', INVALID, () => gob()],
      ['nothing', INVALID, () => Buffer.alloc(0)],
      ['half a stream', INVALID, () => zipped().subarray(0, zipped().length / 2)],
      ['no checksum', INVALID, () => zipped().subarray(0, zipped().length - 8)],
      ['a wrong checksum', INVALID, () => flipped(zipped(), -6)],
      ['a wrong length', INVALID, () => flipped(zipped(), -1)],
      ['a damaged stream', INVALID, () => flipped(zipped(), 14)],
      ['bytes after the stream', INVALID, () => Buffer.concat([zipped(), Buffer.from('x')])],
      ['random bytes in gzip', INVALID, () => gzipSync(new Random(SEED).bytes(2_000))],
      ['a bomb of 40 MB', TOO_BIG, () => gzipSync(Buffer.alloc(40 << 20))],
      [
        'a bomb in many members',
        TOO_BIG,
        () => Buffer.concat(Array.from({ length: 40 }, () => gzipSync(Buffer.alloc(1 << 18)))),
      ],
    ];
    const kinds = [
      ['gob', plain, { sdkType: '' }],
      ['gzip', packed, { sdkType: '', compression: 'gzip' }],
    ];
    for (const [kind, cases, query] of kinds) {
      for (const [name, code, payload] of cases) {
        test(`${kind}: ${name}: ${code}`, async () => {
          const raw = await rawSession(server.ws, mallory, query);
          const bytes = payload();
          assert.ok(bytes.length <= MAX_MESSAGE, `${bytes.length}`);
          raw.write(binary(bytes));
          assert.deepEqual(await raw.outcome(), { code, frames: [] });
          await bystanders.served();
        });
      }
    }
  });

  describe('what is wrong inside a request is answered, and the session goes on', () => {
    const junk = Buffer.from([0xff, 0xff, 0xff]).toString('base64');
    const requests = [1001, 1002, 1003, 1005, 1006, 1007, 2003, 2004, 2005];
    for (const reqIdentifier of requests) {
      test(`${reqIdentifier} with data that does not decode: 500`, async () => {
        const raw = await rawSession(server.ws, mallory);
        raw.write(binary(json({ reqIdentifier, data: junk })));
        const response = await reply(raw);
        assert.deepEqual([response.reqIdentifier, response.msgIncr], [reqIdentifier, '1']);
        assert.equal(response.errCode, 500);
        await serves(raw);
      });
    }
    test('without operationID or msgIncr where they are needed: 500', async () => {
      for (const reqIdentifier of [1002, 1005, 1006, 2004]) {
        for (const empty of ['operationID', 'msgIncr']) {
          const raw = await rawSession(server.ws, mallory);
          raw.write(binary(json({ reqIdentifier, data: '', [empty]: '' })));
          assert.equal((await reply(raw)).errCode, 500);
          await serves(raw);
        }
      }
    });
    test('messages that may not be sent have their code', async () => {
      const base = {
        sendID: 'mallory',
        recvID: 'victim',
        sessionType: 1,
        msgFrom: 100,
        contentType: 101,
        content: Buffer.from('{}'),
      };
      const cases = [
        [{ sendID: '' }, 1001],
        [{ content: Buffer.alloc(0) }, 1001],
        [{ sessionType: 0 }, 1001],
        [{ sessionType: 2 }, 1001],
        [{ sessionType: 99 }, 1001],
        [{ sessionType: 4 }, 1001],
        [{ contentType: 1400 }, 1001],
        [{ sendID: 'ann' }, 1002],
        [{ contentType: 1501 }, 1002],
        [{ contentType: 2101 }, 1002],
        [{ recvID: 'nobody' }, 1004],
        [{ recvID: '' }, 1004],
        [{ sessionType: 3, recvID: '', groupID: 'none' }, 1004],
      ];
      const raw = await rawSession(server.ws, mallory);
      for (const [change, code] of cases) {
        const data = encode('sdkws.MsgData', { ...base, clientMsgID: newMessageID(), ...change }).toString('base64');
        raw.write(binary(json({ reqIdentifier: Req.send, data })));
        assert.equal((await reply(raw)).errCode, code, JSON.stringify(change));
      }
      await serves(raw);
    });
    test('ids with every odd character, and ids without end, are taken as they are', async () => {
      const raw = await rawSession(server.ws, mallory);
      for (const recvID of ['a\u0000b', "x'; DROP TABLE messages; --", '../../etc', 'é\u{1f600}', '_', 'x'.repeat(20_000)]) {
        const data = encode('sdkws.MsgData', {
          sendID: 'mallory', recvID, sessionType: 1, contentType: 101, content: Buffer.from('{}'), clientMsgID: newMessageID(),
        }).toString('base64');
        raw.write(binary(json({ reqIdentifier: Req.send, data })));
        assert.ok([1001, 1004].includes((await reply(raw)).errCode), recvID.slice(0, 40));
      }
      await serves(raw);
    });
    test('reading for somebody else is refused', async () => {
      const raw = await rawSession(server.ws, mallory);
      const data = encode('sdkws.GetMaxSeqReq', { userID: 'ann' }).toString('base64');
      raw.write(binary(json({ data })));
      assert.equal((await reply(raw)).errCode, 1002);
      await serves(raw);
    });
  });

  describe('bytes without sense', () => {
    test('random messages of 1 to 64 KiB end the session', async () => {
      const random = new Random(SEED);
      const queries = [{}, { sdkType: '' }, { sdkType: '', compression: 'gzip' }, { compression: 'gzip' }];
      for (let size = 1 << 10, n = 0; size <= 64 << 10; size *= 2) {
        for (const query of queries) {
          const raw = await rawSession(server.ws, mallory, query);
          raw.write(binary(random.bytes(size)));
          const { code } = await raw.outcome();
          assert.equal(code, size > MAX_MESSAGE ? TOO_BIG : INVALID, `${++n}: ${size} ${JSON.stringify(query)}`);
        }
      }
      await bystanders.served();
    });
    test('random bytes instead of frames end the session', async () => {
      const random = new Random(SEED + 1);
      for (let n = 0; n < 40; n++) {
        const raw = await rawSession(server.ws, mallory);
        raw.write(random.bytes(random.between(1, 4_000)));
        raw.finish();
        const { frames } = await raw.outcome();
        assert.ok(frames.length < 100, `${n}`);
      }
      await bystanders.served();
    });
    test('a request with flipped bytes is answered or ends the session', async () => {
      const random = new Random(SEED + 2);
      for (let n = 0; n < 80; n++) {
        const sdkType = n % 2 ? 'js' : '';
        const raw = await rawSession(server.ws, mallory, { sdkType });
        const request = Buffer.from(sdkType ? json() : gob());
        for (let flips = random.between(1, 3); flips > 0; flips--) {
          request[random.between(0, request.length - 1)] ^= 1 << random.between(0, 7);
        }
        raw.write(binary(request), frame(Op.ping, 'after'));
        const first = await raw.nextFrame();
        assert.ok([Op.binary, Op.close, Op.pong].includes(first?.opcode), `${n}`);
        if (first.opcode === Op.close) {
          assert.ok([INVALID, POLICY].includes(first.payload.readUInt16BE(0)), `${n}`);
        }
        raw.drop();
      }
      await bystanders.served();
    });
    test('half a frame, then nothing more', async () => {
      for (const bytes of [binary(json()).subarray(0, 1), binary(json()).subarray(0, 5), binary(json()).subarray(0, 60)]) {
        const raw = await rawSession(server.ws, mallory);
        raw.write(bytes);
        raw.finish();
        await raw.end();
      }
      // The same by a reset.
      const raw = await rawSession(server.ws, mallory);
      raw.write(binary(json()).subarray(0, 60));
      raw.drop();
      await bystanders.served();
    });
    test('a message byte by byte is a message', async () => {
      const raw = await rawSession(server.ws, mallory);
      for (const byte of binary(json())) raw.write(Buffer.from([byte]));
      assert.equal((await reply(raw)).errCode, 0);
      await serves(raw);
    });
  });

  describe('upgrade requests', () => {
    const outcome = async (...parts) => {
      const raw = await RawConnection.open(server.ws);
      raw.write(...parts);
      const head = await raw.httpHead();
      await raw.end();
      return { ...head, body: raw.received.toString() };
    };

    test('bad values are refused with their code, in at most 1,024 bytes', async () => {
      const cases = [
        [{ platformID: 'abc' }, 1602],
        [{ platformID: '' }, 1602],
        [{ platformID: '0' }, 1602],
        [{ platformID: '99' }, 1602],
        [{ platformID: '-1' }, 1602],
        [{ platformID: '1e3' }, 1602],
        [{ platformID: '9'.repeat(300) }, 1602],
        [{ isMsgResp: 'maybe' }, 1602],
        [{ isBackground: 'maybe' }, 500],
        [{ sdkType: 'xml' }, 1602],
        [{ operationID: '' }, 1602],
        [{ sendID: '' }, 1602],
        [{ token: '' }, 1602],
        [{ v: '!!!' }, 1602],
        [{ v: 'e30=' }, 1602],
        [{ v: Buffer.from('[]').toString('base64url') }, 1602],
        [{ v: Buffer.from('{"platformID":"2"}').toString('base64url') }, 1602],
        [{ v: Buffer.from(`{"x":${'['.repeat(3_000)}`).toString('base64url') }, 1602],
        [{ token: 'nonsense' }, 1503],
        [{ token: 'x'.repeat(8_000) }, 1503],
        [{ token: '\u0000\r\n' }, 1503],
        [{ sendID: 'ann' }, 1502],
        [{ sendID: '\u0000' }, 1502],
        [{ platformID: '1' }, 1502],
      ];
      for (const [change, code] of cases) {
        const name = JSON.stringify(change).slice(0, 80);
        const { status, body } = await outcome(upgradeRequest(sessionQuery(mallory, change)));
        assert.equal(status, 200, name);
        assert.ok(body.length <= 1024, name);
        assert.equal(JSON.parse(body).errCode, code, name);
      }
      const broken = await RawConnection.open(server.ws);
      broken.write(upgradeRequest(`${sessionQuery(mallory)}&sendID=%zz&%ff=%ff&&==&isBackground=%`));
      // The first of two values counts, and what cannot be decoded is left out.
      assert.equal((await broken.httpHead()).status, 101);
      await serves(broken);
    });

    test('what is no handshake is refused in HTTP', async () => {
      const query = sessionQuery(mallory);
      const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`X-${i}`, 'x']));
      const cases = [
        ['no upgrade', 400, upgradeRequest(query, { Upgrade: undefined })],
        ['no connection header', 400, upgradeRequest(query, { Connection: undefined })],
        ['another version', 400, upgradeRequest(query, { 'Sec-WebSocket-Version': '8' })],
        ['no key', 400, upgradeRequest(query, { 'Sec-WebSocket-Key': undefined })],
        ['a short key', 400, upgradeRequest(query, { 'Sec-WebSocket-Key': 'AAAA' })],
        ['POST', 405, upgradeRequest(query, {}, { method: 'POST' })],
        ['HTTP/1.0', 400, upgradeRequest(query, {}, { version: '1.0' })],
        ['HTTP/9.9', 400, upgradeRequest(query, {}, { version: '9.9' })],
        ['a huge header', 431, upgradeRequest(query, { 'X-Long': 'x'.repeat(20_000) })],
        ['a huge query', 431, upgradeRequest(`${query}&x=${'x'.repeat(20_000)}`)],
        ['300 headers', 431, upgradeRequest(query, many)],
        ['a NUL in a header', 400, upgradeRequest(query, { 'X-Nul': '\u0000' })],
        ['no HTTP at all', 400, '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003\r\n\r\n'],
      ];
      for (const [name, expected, request] of cases) {
        assert.equal((await outcome(request)).status, expected, name);
      }
      await bystanders.served();
    });

    test('random bytes get a refusal or no answer, and the end of the connection', async () => {
      const random = new Random(SEED + 3);
      for (let n = 0; n < 40; n++) {
        const raw = await RawConnection.open(server.ws);
        raw.write(random.bytes(random.between(1, 30_000)));
        raw.finish();
        await raw.end();
      }
      await bystanders.served();
    });

    test('a request that never comes to its end is dropped in time, however busy it looks', async () => {
      const request = Buffer.from(upgradeRequest(sessionQuery(mallory), { 'X-Slow': 'x'.repeat(8_000) }));
      const clients = await Promise.all(Array.from({ length: 60 }, () => RawConnection.open(server.ws)));
      // A third says nothing, a third half of it, a third a byte now and then.
      clients.slice(20).forEach((raw) => raw.write(request.subarray(0, 4_000)));
      let at = 4_000;
      const drip = setInterval(() => {
        for (const raw of clients.slice(40)) if (!raw.ended) raw.write(request.subarray(at, at + 1));
        at++;
      }, 100);
      try {
        await Promise.all(clients.map((raw) => raw.end()));
      } finally {
        clearInterval(drip);
      }
      assert.ok(clients.every((raw) => raw.received.length === 0));
      await bystanders.served();
    });

    test('frames behind the request in one packet are served', async () => {
      const raw = await RawConnection.open(server.ws);
      raw.write(Buffer.concat([Buffer.from(upgradeRequest(sessionQuery(mallory))), binary(json())]));
      assert.equal((await raw.httpHead()).status, 101);
      assert.equal((await reply(raw)).errCode, 0);
      raw.drop();
    });
  });

  test('a client that does not read is disconnected, the sender and all others go on', async () => {
    const token = await server.api.token('victim', ANDROID);
    const victim = await rawSession(server.ws, { userID: 'victim', platformID: ANDROID, token });
    const sender = await rawSession(server.ws, mallory, { sdkType: 'js' });
    victim.pause();
    const online = async () => (await server.api.call('/user/get_users_status', { userIDs: ['victim'] })).statusList[0].status;
    assert.equal(await online(), 1);
    const content = Buffer.from(JSON.stringify({ content: 'x'.repeat(36_000) }));
    let sent = 0;
    // More than all buffers on the way hold: those of both kernels' sockets, and the session's.
    for (; sent < 2_000 && (sent % 50 !== 0 || sent < 100 || (await online()) === 1); sent++) {
      const data = encode('sdkws.MsgData', {
        sendID: 'mallory', recvID: 'victim', sessionType: 1, contentType: 101, content, clientMsgID: newMessageID(),
        options: { senderSync: false },
      }).toString('base64');
      sender.write(binary(json({ reqIdentifier: Req.send, data })));
      assert.equal((await reply(sender)).errCode, 0);
    }
    assert.equal(await online(), 0, 'still connected');
    await serves(sender);
    await bystanders.served();
    victim.resume();
    const { frames } = await victim.outcome();
    assert.ok(frames.length < sent, `${frames.length} of ${sent} messages arrived`);
    // History heals it.
    const again = await rawSession(server.ws, { userID: 'victim', platformID: ANDROID, token });
    const data = encode('sdkws.GetMaxSeqReq', { userID: 'victim' }).toString('base64');
    again.write(binary(json({ sendID: 'victim', data })));
    assert.equal((await reply(again)).errCode, 0);
    again.drop();
  });

  describe('HTTP', () => {
    const post = (path, body, headers = {}) =>
      server.api.raw(path, {
        headers: { operationID: 'hostile', token: server.api.adminToken, 'Content-Type': 'application/json', ...headers },
        body,
      });
    const refusedAs = async (path, body, headers) => {
      const { status, json: answer, text } = await post(path, body, headers);
      assert.equal(status, 200, text);
      assert.doesNotMatch(text, /\.rs\b|panicked|sqlx|SQLITE/i);
      return answer.errCode;
    };

    test('random bodies are 1001', async () => {
      const random = new Random(SEED + 4);
      for (let n = 0; n < 60; n++) {
        const body = random.bytes(random.between(1, n % 10 ? 2_000 : 60_000));
        assert.equal(await refusedAs('/user/get_users_info', body), 1001, `${n}`);
      }
      await bystanders.served();
    });

    test('deep nesting, wrong types, numbers out of range, bad text: 1001', async () => {
      const cases = [
        `{"userIDs":${'['.repeat(100_000)}`,
        `${'{"userIDs":'.repeat(50_000)}`,
        `{"other":${'['.repeat(50_000)}${']'.repeat(50_000)},"userIDs":7}`,
        '{"userIDs":"ann"}',
        '{"userIDs":{"0":"ann"}}',
        '{"userIDs":[null,1]}',
        '{"userIDs":["\\ud800"]',
        '{"userIDs":["ann"],}',
        '{"userIDs":NaN}',
        "{'userIDs':['ann']}",
        '\ufeff',
      ];
      for (const body of cases) {
        assert.equal(await refusedAs('/user/get_users_info', body), 1001, body.slice(0, 60));
      }
      for (const platformID of ['1e999', '99999999999999999999', '4294967298', '1.5', '-1e-9', '"2"', '[2]', 'true']) {
        const body = `{"userID":"ann","platformID":${platformID}}`;
        assert.equal(await refusedAs('/auth/get_user_token', body), 1001, platformID);
      }
      const invalid = Buffer.concat([Buffer.from('{"userIDs":["'), Buffer.from([0xff, 0xc0]), Buffer.from('"]}')]);
      assert.ok([0, 1001].includes(await refusedAs('/user/get_users_info', invalid)));
      await bystanders.served();
    });

    test('a body in gzip is not inflated', async () => {
      const bomb = gzipSync(Buffer.alloc(100 << 20, ' '));
      assert.equal(await refusedAs('/user/get_users_info', bomb, { 'Content-Encoding': 'gzip' }), 1001);
    });

    test('lists and pages without measure are refused or bounded', async () => {
      const page = (pageNumber, showNumber) => JSON.stringify({ pagination: { pageNumber, showNumber } });
      for (const [number, show] of [[0, 0], [-1, 10], [1, -1], [2_147_483_647, 2_147_483_647], [1, 2_147_483_647]]) {
        assert.ok([0, 1001].includes(await refusedAs('/user/get_users', page(number, show))), `${number} ${show}`);
      }
      const ids = JSON.stringify({ userIDs: Array.from({ length: 200_000 }, (_, i) => `u${i}`) });
      assert.ok([0, 1001].includes(await refusedAs('/user/get_users_info', ids)));
      await bystanders.served();
    });

    /** Everything that comes back for these bytes. */
    const said = async (...parts) => {
      const raw = await RawConnection.open(server.api.base);
      raw.write(...parts);
      await raw.end(15_000);
      return raw.received.toString('latin1');
    };
    const head = (lines) =>
      `POST /user/get_users_info HTTP/1.1\r\nHost: test\r\noperationID: x\r\ntoken: ${server.api.adminToken}\r\n${lines}\r\n`;

    test('requests that are no HTTP are 400 or 431, and closed', async () => {
      const cases = [
        ['no HTTP', '\u0016\u0003\u0001\r\n\r\n', /^HTTP\/1\.1 400/],
        ['a NUL', head('X: \u0000\r\n'), /^HTTP\/1\.1 400/],
        ['a header without colon', head('hello\r\n'), /^HTTP\/1\.1 400/],
        ['a negative length', head('Content-Length: -5\r\n'), /^HTTP\/1\.1 400/],
        ['a length beyond 64 bits', head('Content-Length: 99999999999999999999999\r\n'), /^HTTP\/1\.1 400/],
        ['two lengths', head('Content-Length: 2\r\nContent-Length: 3\r\n'), /^HTTP\/1\.1 400/],
        ['an unknown coding', head('Transfer-Encoding: rot13\r\n'), /^HTTP\/1\.1 (400|501)/],
        ['a huge header', head(`X: ${'x'.repeat(200_000)}\r\n`), /^HTTP\/1\.1 431/],
        ['a huge path', `POST /${'x'.repeat(200_000)} HTTP/1.1\r\n\r\n`, /^HTTP\/1\.1 (414|431)/],
        ['a broken chunk', `${head('Transfer-Encoding: chunked\r\n')}zz\r\n`, /^HTTP\/1\.1 (200|400)/],
      ];
      for (const [name, request, expected] of cases) assert.match(await said(request), expected, name);
      const random = new Random(SEED + 5);
      for (let n = 0; n < 20; n++) {
        const raw = await RawConnection.open(server.api.base);
        raw.write(random.bytes(random.between(1, 5_000)));
        raw.finish();
        await raw.end();
      }
      await bystanders.served();
    });

    test('a body beyond the limit in chunks is 1001', async () => {
      const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(1 << 20, ' '), Buffer.from('\r\n')]);
      const raw = await RawConnection.open(server.api.base);
      raw.write(head('Transfer-Encoding: chunked\r\n'), ...Array.from({ length: 20 }, () => chunk), '0\r\n\r\n');
      const { status } = await raw.httpHead();
      assert.equal(status, 200);
      await raw.until(() => (raw.received.includes('}') ? true : undefined), 'the body');
      assert.equal(JSON.parse(raw.received).errCode, 1001);
      raw.drop();
    });

    test('a body that never comes to its end is refused in time', async () => {
      const drips = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(server.api.base)));
      drips.forEach((raw) => raw.write(head('Content-Length: 5000\r\n'), '{'));
      const drip = setInterval(() => drips.forEach((raw) => raw.ended || raw.write(' ')), 100);
      try {
        await Promise.all(drips.map((raw) => raw.until(() => (raw.ended || raw.received.length > 0 ? true : undefined), 'an end')));
      } finally {
        clearInterval(drip);
      }
      drips.forEach((raw) => raw.drop());
      await bystanders.served();
    });
  });

  test('the bystanders have noticed nothing, and neither process has stumbled', async () => {
    const total = await bystanders.finish();
    assert.ok(total > 100, `${total} messages`);
    for (const pid of Object.values(server.pids)) assert.doesNotThrow(() => process.kill(pid, 0));
    const logs = await server.logs();
    for (const log of [logs.gateway, logs.control]) assert.doesNotMatch(log, /panick|defect|ERROR/);
    assert.ok(!`${logs.gateway}${logs.control}`.includes(mallory.token), 'a token in the log');
  });
});

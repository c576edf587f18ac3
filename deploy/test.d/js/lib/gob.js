// The envelope of a WebSocket message in gob, as a client of ours sends and reads it. Requests are written with a
// type id and field order of our own, replies are read by the definition that comes with them, so that a test
// does not share the server's assumptions.

const TYPE = { bool: 1, int: 2, uint: 3, float: 4, bytes: 5, string: 6 };

/** Fields of a request in the order in which this client declares them: not the order of the official SDKs. */
const REQUEST_FIELDS = [
  ['SendID', TYPE.string],
  ['MsgIncr', TYPE.string],
  ['OperationID', TYPE.string],
  ['ReqIdentifier', TYPE.int],
  ['Data', TYPE.bytes],
];

function uint(value) {
  let n = BigInt(value);
  if (n < 128n) return Buffer.from([Number(n)]);
  const bytes = [];
  for (; n > 0n; n >>= 8n) bytes.unshift(Number(n & 255n));
  return Buffer.from([256 - bytes.length, ...bytes]);
}

function int(value) {
  const n = BigInt(value);
  return uint(n >= 0n ? n << 1n : (~n << 1n) | 1n);
}

function bytes(value) {
  const data = Buffer.from(value);
  return Buffer.concat([uint(data.length), data]);
}

function message(typeId, body) {
  const content = Buffer.concat([int(typeId), body]);
  return Buffer.concat([uint(content.length), content]);
}

function definition(typeId, name, fields) {
  const list = fields.map(([field, type]) =>
    Buffer.concat([uint(1), bytes(field), uint(1), int(type), uint(0)]),
  );
  return message(
    -typeId,
    Buffer.concat([
      uint(3),
      uint(1), uint(1), bytes(name), uint(1), int(typeId), uint(0),
      uint(1), uint(fields.length), ...list,
      uint(0), uint(0),
    ]),
  );
}

/** Encodes `{reqIdentifier, sendID, operationID, msgIncr, data}`; zero values are left out, as gob does. */
export function encodeRequest(request, typeId = 77) {
  const values = {
    SendID: request.sendID,
    MsgIncr: request.msgIncr,
    OperationID: request.operationID,
    ReqIdentifier: request.reqIdentifier,
    Data: request.data,
  };
  const parts = [];
  let last = -1;
  REQUEST_FIELDS.forEach(([name, type], index) => {
    const value = values[name];
    if (!value || value.length === 0) return;
    parts.push(uint(index - last), type === TYPE.int ? int(value) : bytes(value));
    last = index;
  });
  return Buffer.concat([
    definition(typeId, 'ClientRequest', REQUEST_FIELDS),
    message(typeId, Buffer.concat([...parts, uint(0)])),
  ]);
}

class Reader {
  constructor(buffer) {
    this.buffer = buffer;
    this.at = 0;
  }
  take(n) {
    if (this.at + n > this.buffer.length) throw new Error('gob: truncated');
    this.at += n;
    return this.buffer.subarray(this.at - n, this.at);
  }
  uint() {
    const first = this.take(1)[0];
    if (first < 128) return first;
    const value = this.take(256 - first).reduce((n, byte) => (n << 8n) | BigInt(byte), 0n);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error('gob: number too large');
    return Number(value);
  }
  int() {
    const n = this.uint();
    return n % 2 === 0 ? n / 2 : -(n - 1) / 2 - 1;
  }
  bytes() {
    return this.take(this.uint());
  }
  string() {
    return this.bytes().toString('utf8');
  }
}

function readDefinition(reader) {
  if (reader.uint() !== 3) throw new Error('gob: not a struct');
  if (reader.uint() !== 1) throw new Error('gob: no common part');
  let delta = reader.uint();
  if (delta === 1) {
    reader.string();
    delta = reader.uint();
  }
  if (delta > 0) {
    reader.int();
    if (reader.uint() !== 0) throw new Error('gob: common part too long');
  }
  const fields = [];
  if (reader.uint() === 1) {
    for (let left = reader.uint(); left > 0; left--) {
      reader.uint();
      const name = reader.string();
      reader.uint();
      fields.push([name, reader.int()]);
      reader.uint();
    }
  }
  return fields;
}

/** Decodes a reply or push: `{reqIdentifier, msgIncr, operationID, errCode, errMsg, data}`. */
export function decodeResponse(buffer) {
  const stream = new Reader(buffer);
  const defined = new Map();
  for (;;) {
    const body = new Reader(stream.take(stream.uint()));
    const id = body.int();
    if (id < 0) {
      defined.set(-id, readDefinition(body));
      continue;
    }
    const fields = defined.get(id);
    if (!fields) throw new Error(`gob: type ${id} is not defined`);
    const value = {};
    for (let index = -1, delta = body.uint(); delta !== 0; delta = body.uint()) {
      index += delta;
      if (index >= fields.length) throw new Error('gob: field beyond the definition');
      const [name, type] = fields[index];
      if (type === TYPE.int) value[name] = body.int();
      else if (type === TYPE.string) value[name] = body.string();
      else if (type === TYPE.bytes) value[name] = Buffer.from(body.bytes());
      else throw new Error(`gob: unexpected type ${type} of ${name}`);
    }
    if (stream.at !== buffer.length) throw new Error('gob: bytes after the value');
    return {
      reqIdentifier: value.ReqIdentifier ?? 0,
      msgIncr: value.MsgIncr ?? '',
      operationID: value.OperationID ?? '',
      errCode: value.ErrCode ?? 0,
      errMsg: value.ErrMsg ?? '',
      data: value.Data ?? Buffer.alloc(0),
    };
  }
}

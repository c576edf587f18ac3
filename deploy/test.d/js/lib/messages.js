// The protobuf messages, read from the same .proto files that the server is built from.

import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import protobuf from 'protobufjs';

const FOLDER = fileURLToPath(new URL('../../../../shared/protocol/proto/', import.meta.url));

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => (target.startsWith('google/') ? target : join(FOLDER, target));
root.loadSync(['openim/sdkws.proto', 'openim/msg.proto', 'openim/push.proto', 'openim/jssdk.proto'], { keepCase: true });

/** Encodes `value` as the message `name`, such as `sdkws.MsgData`. */
export function encode(name, value) {
  const type = root.lookupType(`openim.${name}`);
  const problem = type.verify(value);
  if (problem) throw new Error(`${name}: ${problem}`);
  return Buffer.from(type.encode(type.create(value)).finish());
}

/** Decodes the message `name`; absent fields have their zero value, 64-bit numbers are plain numbers. */
export function decode(name, bytes) {
  const type = root.lookupType(`openim.${name}`);
  return type.toObject(type.decode(bytes), { longs: Number, defaults: true, bytes: Buffer });
}

// What history holds, compared with what the clients were told.

import { Session } from '../lib/session.js';

const PAGE = 100;

/** All messages of all chats of `userID`: chat -> messages, ascending. */
async function history(options, userID) {
  const session = await Session.connect({ ...options, userID, timeout: 30_000 });
  const chats = new Map();
  for (const [chat, newest] of Object.entries(await session.maxSeqs())) {
    if (!chat.startsWith('si_')) continue;
    const messages = [];
    for (let begin = 1; begin <= newest; begin += PAGE) {
      messages.push(...(await session.pull(chat, begin, Math.min(begin + PAGE - 1, newest))));
    }
    chats.set(chat, { newest, messages });
  }
  await session.close();
  return chats;
}

/** `[{name, problems}]`, one entry a promise of the server; `users` are `{id, options}`. */
export async function audit(users, ledger) {
  const lost = [];
  const twice = [];
  const changed = [];
  const gaps = [];
  const strangers = [];
  const differing = [];
  const seen = new Map();
  for (const user of users) {
    for (const [chat, { newest, messages }] of await history(user.options, user.id)) {
      const seqs = messages.map((m) => m.seq);
      const wrong = seqs.findIndex((seq, i) => seq !== i + 1);
      if (wrong >= 0) gaps.push(`${chat}: seq ${seqs[wrong]} in place of ${wrong + 1}`);
      else if (seqs.length !== newest) gaps.push(`${chat}: ends at ${seqs.length}, newest is ${newest}`);
      const ids = messages.map((m) => m.clientMsgID).join();
      if (!seen.has(chat)) seen.set(chat, { ids, messages });
      else if (seen.get(chat).ids !== ids) differing.push(`${chat}: ${user.id} sees another history than the other`);
    }
  }
  const found = new Map();
  for (const [chat, { messages }] of seen) {
    for (const message of messages) {
      const id = message.clientMsgID;
      const entry = ledger.sent.get(id);
      if (!entry || entry.chat !== chat) {
        strangers.push(`${chat}: ${id} was never sent there`);
        continue;
      }
      if (found.has(id)) twice.push(`${chat}: ${id} has seqs ${found.get(id)} and ${message.seq}`);
      found.set(id, message.seq);
      const same =
        message.sendID === entry.sender &&
        JSON.parse(message.content.toString()).content === entry.text &&
        (!entry.reply ||
          (message.serverMsgID === entry.reply.serverMsgID && message.sendTime === entry.reply.sendTime));
      if (!same) changed.push(`${chat}: ${id} differs from what was sent or acknowledged`);
    }
  }
  for (const [id, entry] of ledger.sent) {
    if (entry.reply && !found.has(id)) lost.push(`${entry.chat}: ${id} (${entry.text}) was acknowledged`);
  }
  return [
    { name: 'every acknowledged message is in history', problems: lost },
    { name: 'no message is in history twice, resends included', problems: twice },
    { name: 'messages are as they were sent and acknowledged', problems: changed },
    { name: 'seqs have no gaps and no repeats', problems: gaps },
    { name: 'history holds nothing that was not sent', problems: strangers },
    { name: 'both users of a chat see the same history', problems: differing },
  ];
}

// roots.put, roots.get, roots.owners, grant.present, farm.members, farmer.holdings.
import { CallError } from '#node/net/net.ts';
import { decodeCallHead, encodeAnswerHead, farmMembers, holdings, ownerPage } from '#node/wire/calls.ts';
import { collect, frameAll, unframeAll } from '#node/wire/framing.ts';
import { MAX_CHAIN_BYTES } from '#node/wire/grants.ts';
import { MAX_STATEMENT_BYTES } from '#node/wire/statements.ts';
import { mayIntroduce, maySeeHoldings } from './admission.ts';
import { farmMembersOf } from './farm-members.ts';
import { MAX_STATEMENTS_BYTES } from './owner-lookup.ts';
import { once } from './piece-calls.ts';
import type { Handler } from './service.ts';

type FarmOperation = 'roots.put' | 'roots.get' | 'roots.owners' | 'grant.present' | 'farm.members' | 'farmer.holdings';

export const farmCalls: Record<FarmOperation, Handler> = {
  async 'roots.put'({ roots, peers, from }, head, body) {
    const { owner } = decodeCallHead('roots.put', head);
    if (!roots.knows(owner) && !mayIntroduce(peers, from)) {
      throw new CallError(
        'Forbidden',
        'This owner is unknown here; only a bridge, repairer or farmer of the farm introduces one.',
      );
    }
    const statements = unframeAll(await collect(body, MAX_STATEMENTS_BYTES), MAX_STATEMENT_BYTES);
    return { head: encodeAnswerHead('roots.put', { kept: await roots.put(owner, statements) }) };
  },

  async 'roots.get'({ roots, owners, peers, from, keyPair, signal }, head) {
    const { owner } = decodeCallHead('roots.get', head);
    // The others' questions are answered at once, or a farm that starts whole would wait for itself.
    if (!peers.farmers.has(from)) await owners.complete(owner, signal);
    const statements = roots.statements(owner);
    const others = owners.nearest(owner).filter(({ farmer }) => farmer !== keyPair.publicKey);
    const nearest = statements.length > 0 ? [] : others;
    return { head: encodeAnswerHead('roots.get', { nearest }), body: once(frameAll(statements)) };
  },

  async 'roots.owners'({ store, from }, head) {
    const { after, limit } = decodeCallHead('roots.owners', head);
    const owners = store.index.statements.ownersNaming(from, after, limit);
    const next = owners.length === limit ? owners.at(-1)! : '';
    return { head: encodeAnswerHead('roots.owners', {}), body: once(ownerPage.encode({ owners, next })) };
  },

  async 'grant.present'({ grants, from, signal }, head, body) {
    const { owner } = decodeCallHead('grant.present', head);
    const chain = await collect(body, MAX_CHAIN_BYTES);
    const { expiresMs } = await grants.present({ from, owner, chain, signal });
    return { head: encodeAnswerHead('grant.present', { expiresMs }) };
  },

  async 'farm.members'({ config }) {
    const members = farmMembersOf(config());
    if (!members) throw new CallError('Unavailable', 'This farmer has not been told of its farm yet.');
    return { head: encodeAnswerHead('farm.members', {}), body: once(farmMembers.encode(members)) };
  },

  async 'farmer.holdings'({ store, peers, from, duty }) {
    if (!maySeeHoldings(peers, from)) throw new CallError('Forbidden', "Only the farm's repairers may see what is stored here.");
    const { cordonedMs, lastTransferMs } = duty;
    const freeBytes = await store.space.freeBytes();
    const answer = { owners: store.index.owners.holdings(), cordonedMs, lastTransferMs, freeBytes };
    return { head: encodeAnswerHead('farmer.holdings', {}), body: once(holdings.encode(answer)) };
  },
};

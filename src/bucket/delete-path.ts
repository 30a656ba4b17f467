/** Deletes. R2 cannot fence one, so each asks its shard first: go ahead, or it is queued at once. */
import { FailoverError } from "../shared/errors";
import { operationId, shardOf } from "../shared/keys";
import type { AskVerdict, Stored } from "../shared/protocol";
import { admit, mayAdmitOrCount } from "./admission";
import { ask } from "./ask";
import { callR2, type FailedCall } from "./direct-call";
import { enqueue } from "./enqueue";
import { shardCount } from "./isolate-service";
import { followOwnWrite } from "./own-writes";
import { checkKey } from "./put-options";
import { textOf } from "./r2-arguments";
import { forget } from "./read-cache";
import { prepare, refuseWhenReadOnly, type Session } from "./session";
import { refused } from "./shard-call";
import { type CheckedWriteOptions, checkWriteOptions, type WriteOptions } from "./write-options";
import type { DeleteOutcome } from "./write-outcome";

const MAX_KEYS = 1_000;

interface Item {
  readonly key: string;
  readonly operationId: string;
}

/** Deletes one key or up to 1,000. Rejects when any of them is neither deleted nor queued; asking again is harmless. */
export async function remove(
  session: Session,
  keys: string | readonly string[],
  options: WriteOptions,
): Promise<DeleteOutcome> {
  const own = checkWriteOptions(options);
  const isSingle = !Array.isArray(keys);
  const wanted = [...new Set([keys].flat().map(textOf))];
  if (wanted.length > MAX_KEYS) {
    throw new FailoverError("INVALID_REQUEST", `One delete takes at most ${MAX_KEYS} keys, not ${wanted.length}.`);
  }
  for (const key of wanted) checkKey("delete", key);
  if (wanted.length === 0) return { kind: "deleted" };
  await prepare(session, "write");
  refuseWhenReadOnly(session);

  try {
    return await removeAll(session, wanted, isSingle, own);
  } finally {
    // Some may be gone although others are refused.
    await forget(session, wanted);
  }
}

async function removeAll(
  session: Session,
  wanted: readonly string[],
  isSingle: boolean,
  own: CheckedWriteOptions,
): Promise<DeleteOutcome> {
  const { env, service, state } = session;
  const shards = await shardCount(env, service);
  const writable = mayAdmitOrCount(state, "write", Date.now());
  const verdicts = await askAll(session, wanted, shards, writable, own);
  const stored: Stored[] = [];
  const direct: { readonly item: Item; readonly ticket: string }[] = [];
  let problem: Error | null = null;
  for (const { item, verdict } of verdicts) {
    if (verdict.verdict === "queued") stored.push(verdict.stored);
    else if (verdict.verdict === "direct") direct.push({ item, ticket: verdict.ticket });
    else if (verdict.verdict === "refused") problem ??= refused(verdict.refusal);
  }
  if (direct.length > 0) stored.push(...(await removeDirectly(session, direct, isSingle, own)));
  if (problem !== null) throw problem;
  for (const key of wanted) followOwnWrite(state.ownWrites, key);
  state.failovers.queuedWrites += stored.length;
  return stored.length === 0 ? { kind: "deleted" } : { kind: "queued", operations: stored };
}

async function askAll(
  session: Session,
  keys: readonly string[],
  shards: number,
  writable: boolean,
  own: CheckedWriteOptions,
): Promise<{ item: Item; verdict: AskVerdict }[]> {
  const byShard = Map.groupBy(keys, (key) => shardOf(key, shards));
  const answers = [...byShard].map(async ([shard, shardKeys]) => {
    const items = shardKeys.map((key) => ({ key, operationId: operationId(key, shards, own.clientPart()) }));
    const { verdicts } = await ask(session, shard, { kind: "delete", items, writable }, own);
    return items.flatMap((item, index) => {
      const verdict = verdicts[index];
      return verdict === undefined ? [] : [{ item, verdict }];
    });
  });
  return (await Promise.all(answers)).flat();
}

/** One call for all keys. Its tickets simply expire: telling each shard of every delete would cost a second call. */
async function removeDirectly(
  session: Session,
  direct: readonly { readonly item: Item; readonly ticket: string }[],
  isSingle: boolean,
  own: CheckedWriteOptions,
): Promise<Stored[]> {
  const keys = direct.map(({ item }) => item.key);
  const [first] = keys;
  const admission = admit(session.state, "write", Date.now());
  let failed: FailedCall | undefined;
  if (admission.admitted) {
    const result = await callR2(session, {
      method: "delete",
      permit: admission.permit,
      send: () => session.r2.delete(isSingle && first !== undefined ? first : keys),
    });
    if (result.kind === "answered") return [];
    failed = result.call;
  }
  const replies = await Promise.all(
    direct.map(({ item, ticket }) =>
      enqueue(session, { key: item.key, options: own, put: null, ticket, ...(failed !== undefined && { failed }) }),
    ),
  );
  return replies.flatMap((reply) => (reply.verdict === "queued" ? [reply.stored] : []));
}

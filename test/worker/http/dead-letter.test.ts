import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import type { OperationRecord } from "../../../src/shared/records";
import { asAdmin, asGateway, verdict } from "./client";

const failPuts = (error_code: number) =>
  asAdmin("PUT", "/health/services/R2_STORAGE/faults", { json: { faults: [{ operations: ["put"], error_code }] } });

/** Queues one write, and lets the drain meet a caller's error on it: a dead letter. */
async function deadLetter(key: string, body: string): Promise<string> {
  await asAdmin("POST", "/health/queue/pause");
  await failPuts(10001);
  const { operation_id } = await (await asGateway("PUT", `/r2/${key}`, { body })).json<{ operation_id: string }>();
  await failPuts(10012);
  await asAdmin("POST", "/health/queue/resume");
  await reaches(operation_id, "FAILED");
  await asAdmin("DELETE", "/health/services/R2_STORAGE/faults");
  return operation_id;
}

function reaches(id: string, status: string): Promise<void> {
  const read = async () => (await asAdmin("GET", `/health/queue/operations/${id}`)).json<OperationRecord>();
  return vi.waitFor(async () => expect((await read()).status).toBe(status), { timeout: 20_000, interval: 50 });
}

test("a dead letter is listed with its error, its payload can be read, and a redrive brings it into R2", async () => {
  const id = await deadLetter("poison", "the payload");
  const list = await asAdmin("GET", "/health/queue/operations?status=FAILED");
  const { operations } = await list.json<{ operations: OperationRecord[] }>();
  expect(operations).toMatchObject([{ operation_id: id, key: "poison", error_message: expect.any(String) }]);
  expect(await (await asAdmin("GET", `/health/queue/operations/${id}/payload`)).text()).toBe("the payload");
  const redrive = await asAdmin("POST", "/health/queue/redrive");
  expect(await redrive.json()).toEqual({ service_name: "R2_STORAGE", redriven: 1, changed: 0, unreachable_shards: 0 });
  await reaches(id, "COMPLETED");
  expect(await (await env.R2_BUCKET.get("poison"))?.text()).toBe("the payload");
});

test("one dead letter is retried by its id", async () => {
  const id = await deadLetter("poison-2", "once more");
  const retry = await asAdmin("POST", `/health/queue/operations/${id}/retry`);
  expect(await retry.json()).toMatchObject({ operation_id: id, status: "PENDING" });
  await reaches(id, "COMPLETED");
  expect(await verdict(await asAdmin("POST", `/health/queue/operations/${id}/retry`))).toBe("409 OPERATION_FINAL");
});

test("a retry onto a key that has changed since says so, and needs force", async () => {
  const id = await deadLetter("poison-3", "older");
  await env.R2_BUCKET.put("poison-3", "newer, written past the queue");
  const path = `/health/queue/operations/${id}/retry`;
  expect(await verdict(await asAdmin("POST", path))).toBe("409 CHANGED_SINCE");
  expect(await verdict(await asAdmin("POST", path, { json: { force: true } }))).toBe("200");
  await reaches(id, "COMPLETED");
  expect(await (await env.R2_BUCKET.get("poison-3"))?.text()).toBe("older");
});

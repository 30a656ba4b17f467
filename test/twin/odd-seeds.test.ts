import { test, vi } from "vitest";
import { testPrograms } from "./twins";

vi.hoisted(async () => {
  // workerd has no such method, and Vitest calls it after each mocked module.
  const hooks: string = "node:async_hooks";
  const { AsyncLocalStorage } = await import(hooks);
  AsyncLocalStorage.prototype.disable = () => undefined;
});
vi.mock("../../src/shared/fence", () => ({ FENCE_MARGIN_MS: 1_200 }));

test("our bucket in any weather answers as a native one does", { timeout: 3_600_000 }, () => testPrograms(1));

/** `head` has one argument. */
import { describeCases, describeDrain } from "../ways";

const metadata: R2PutOptions = {
  httpMetadata: { contentType: "text/plain", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
  customMetadata: { a: "1" },
  sha256: await crypto.subtle.digest("SHA-256", new TextEncoder().encode("text")),
};

describeCases("head of", [
  {
    name: "an object",
    run: async (bucket, key) => {
      await bucket.put(key, "text", metadata);
      return bucket.head(key);
    },
  },
  {
    name: "an empty object",
    run: async (bucket, key) => {
      await bucket.put(key, null);
      return bucket.head(key);
    },
  },
  {
    name: "an object that was written again",
    run: async (bucket, key) => {
      await bucket.put(key, "text", metadata);
      await bucket.put(key, "other text");
      return bucket.head(key);
    },
  },
  {
    name: "a deleted object",
    run: async (bucket, key) => {
      await bucket.put(key, "text");
      await bucket.delete(key);
      return bucket.head(key);
    },
  },
  { name: "nothing", run: (bucket, key) => bucket.head(key), differs: "unknown" },
  {
    name: "a number",
    run: async (bucket) => {
      await bucket.put("123", "text");
      return bucket.head(123 as never);
    },
  },
  { name: "a key of 1,025 bytes", run: (bucket) => bucket.head("k".repeat(1_025)) },
]);

describeDrain();

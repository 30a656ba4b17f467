/** Requests that no sensible client makes, out of a seed. */

export interface FuzzRequest {
  readonly method: string;
  /** As it goes over the wire: not normalised. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

/** Mulberry32 (T. Ettinger, public domain): 32 bits of state, the same numbers for the same seed everywhere. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "MKCOL"];
const WORDS = ["R2_STORAGE", "NOPE", "OPERATION_QUEUE", "status.svg", "uptime-7d.svg", "max_retries", "batch_size"];
const IDS = ["0-00000000-none", "7-deadbeef-x", "99-00000000-x", "-1-0-0", "0-00000000-", "constructor", "__proto__"];
const ODD = ["", ".", "..", "%2e%2e", "%00", "%ff", "%", "%zz", "%2F", "a%2F..%2Fb", "%F0%9F%92%A9", "'", '"', "<b>"];
const NUMBERS = [
  "0",
  "1",
  "-1",
  "1.5",
  "1e9",
  "9007199254740993",
  "NaN",
  "Infinity",
  "0x10",
  " 5",
  "",
  "999999999999999",
];
const TOKENS = [
  "Bearer dev-admin",
  "Bearer dev-admin",
  "Bearer dev-r2",
  "Bearer dev-r2",
  "Bearer wrong",
  "Bearer",
  "Basic x",
];
const JWTS = ["Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1MSJ9.", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA"];
const QUERY = [
  "service",
  "since",
  "limit",
  "hours",
  "cursor",
  "prefix",
  "delimiter",
  "start_after",
  "include",
  "allow_partial",
  "status",
  "user_id",
  "key",
  "uploads",
  "uploadId",
  "partNumber",
];
const HEADERS = [
  "range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "content-md5",
  "expires",
  "content-type",
  "content-encoding",
  "content-range",
  "cache-control",
  "idempotency-key",
  "x-failover-priority",
  "x-request-id",
  "x-amz-meta-a",
  "accept",
  "origin",
  "access-control-request-method",
  "cf-access-jwt-assertion",
  "sec-websocket-protocol",
  "cookie",
  "x-forwarded-for",
];
const HEADER_VALUES = [
  "bytes=0-",
  "bytes=-1",
  "bytes=5-2",
  "bytes=a-b",
  "bytes=0-1,3-4",
  "*",
  '"x"',
  'W/"x"',
  "x",
  "Thu, 01 Jan 1970 00:00:00 GMT",
  "gzip",
  "application/health+json",
  "AAAAAAAAAAAAAAAAAAAAAA==",
  "https://evil.test",
  "null",
  "a.b.c",
  "bearer.a.b.c",
];

/** A documented operation. Most requests begin as one, or they would meet nothing but guards. */
export interface FuzzTarget {
  readonly method: string;
  /** Each `{…}` is replaced. */
  readonly path: string;
  readonly query: readonly string[];
}

export class FuzzInput {
  readonly #random: () => number;
  readonly #targets: readonly FuzzTarget[];

  constructor(seed: number, targets: readonly FuzzTarget[]) {
    this.#random = randomOf(seed);
    this.#targets = targets;
  }

  request(): FuzzRequest {
    const target = this.#pick(this.#targets);
    const method = this.#chance(0.75) ? target.method : this.#pick(METHODS);
    const mayHaveBody = !["GET", "HEAD", "TRACE", "OPTIONS"].includes(method);
    return {
      method,
      path: this.#path(target),
      headers: this.#headers(),
      body: mayHaveBody && this.#chance(0.7) ? this.#body() : null,
    };
  }

  /** What goes into a WebSocket. */
  frame(): string | Uint8Array<ArrayBuffer> {
    if (this.#chance(0.3)) return this.#bytes(this.#below(2_000));
    return this.#chance(0.3) ? this.#pick(["ping", "", "{}", '{"type":"ack","seq":-1}', "[[[["]) : this.#json();
  }

  #path({ path, query }: FuzzTarget): string {
    const named = path.replace(/\{\w+\}/g, () => this.#segment());
    const pairs = Array.from({ length: this.#chance(0.6) ? this.#below(4) : 0 }, () => {
      const name = this.#pick(query.length > 0 && this.#chance(0.8) ? query : QUERY);
      const value = this.#pick([() => this.#pick(NUMBERS), () => this.#segment(), () => this.#pick(IDS)])();
      return `${name}=${value.replaceAll(" ", "+")}`;
    });
    const whole = this.#chance(0.9) ? named : `/${this.#text(this.#below(60))}`;
    return `${whole}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`.replace(/[^\x21-\x7e]/g, "%20");
  }

  #segment(): string {
    return this.#pick([
      () => this.#pick(WORDS),
      () => this.#pick(IDS),
      () => this.#pick(ODD),
      () => `fuzz-${this.#below(20)}`,
      () => this.#text(this.#below(40)),
      () => "k".repeat(this.#below(1_200)),
    ])();
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    if (this.#chance(0.9))
      headers.authorization = this.#pick(this.#chance(0.6) ? ["Bearer dev-admin"] : [...TOKENS, ...JWTS]);
    for (let n = this.#below(5); n > 0; n -= 1) {
      headers[this.#pick(HEADERS)] = this.#pick([
        () => this.#pick(HEADER_VALUES),
        () => this.#pick(NUMBERS).trim(),
        () => this.#text(this.#below(80)).trim(),
        () => "h".repeat(this.#below(9_000)),
      ])();
    }
    return headers;
  }

  #body(): Buffer {
    if (this.#chance(0.25)) return Buffer.from(this.#bytes(this.#below(3_000)));
    if (this.#chance(0.02)) return Buffer.alloc(70_000, "{");
    return Buffer.from(this.#json());
  }

  #json(): string {
    const value = this.#value(4);
    const text = JSON.stringify(value) ?? "null";
    return this.#chance(0.1) ? text.slice(0, this.#below(text.length + 1)) : text;
  }

  #value(depth: number): unknown {
    if (depth > 0 && this.#chance(0.7)) {
      const fields = Array.from({ length: this.#below(5) }, () => {
        const name = this.#pick([
          "mode",
          "reason",
          "circuits",
          "read_only",
          "duration_ms",
          "service",
          "force",
          "value",
          "faults",
          "parts",
          "part_number",
          "etag",
          "__proto__",
          "constructor",
          "type",
          "seq",
        ]);
        return [name, this.#value(depth - 1)] as const;
      });
      return this.#chance(0.2) ? fields.map(([, value]) => value) : Object.fromEntries(fields);
    }
    return this.#pick<unknown>([
      null,
      true,
      false,
      0,
      -1,
      1e308,
      3,
      "",
      "auto",
      "forced_open",
      "metrics_only",
      "R2_STORAGE",
      "x",
      ["read"],
      {},
      [],
      this.#text(20),
    ]);
  }

  /** Printable ASCII and some Latin-1, as headers may hold it. */
  #text(length: number): string {
    return Array.from({ length }, () =>
      String.fromCharCode(this.#chance(0.95) ? 0x20 + this.#below(95) : 0xa1 + this.#below(90)),
    ).join("");
  }

  #bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.#below(256));
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)] as T;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }
}

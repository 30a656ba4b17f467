/** One call after another that together use every operation of the API, with each of its documented answers. */

export interface ApiCall {
  /** The operation that it exercises. */
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly as?: "operator" | "gateway";
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: string;
  readonly status: number;
}

/** What an earlier answer told. */
export interface Learned {
  readonly etag: string;
  readonly operation: string;
  readonly uploadId: string;
  readonly since: string;
}

const SERVICE = "/health/services/R2_STORAGE";
const HEALTH_JSON = { accept: "application/health+json" };
const WRITES_FAIL = { faults: [{ operations: "write", error_code: 10001 }] };

/** `learned` is filled in while the calls are made. */
export function apiCalls(learned: () => Learned): (() => ApiCall)[] {
  const call = (made: ApiCall) => () => made;
  const get = (id: string, path: string, more: Partial<ApiCall> = {}) =>
    call({ id, method: "GET", path, status: 200, ...more });
  const operator = (id: string, method: string, path: string, more: Partial<ApiCall> = {}) =>
    call({ id, method, path, as: "operator", status: 200, ...more });
  const gateway = (id: string, method: string, path: string, more: Partial<ApiCall> = {}) =>
    call({ id, method, path, as: "gateway", status: 200, ...more });
  const operation =
    (id: string, method: string, rest = "") =>
    () =>
      operator(id, method, `/health/queue/operations/${learned().operation}${rest}`)();

  return [
    get("live", "/health/live"),
    get("ready", "/health/ready"),
    get("status", "/health/status"),
    get("status", "/health/status", { headers: HEALTH_JSON }),
    get("services", "/health/services"),
    get("service", SERVICE),
    get("service", SERVICE, { as: "operator" }),
    get("service", "/health/services/NOPE", { status: 404 }),
    get("availability", `${SERVICE}/availability?hours=24`),
    get("events", "/health/events?service=R2_STORAGE"),
    () => get("events", `/health/events?since=${learned().since}&limit=5`, { as: "operator" })(),
    get("events", "/health/events?limit=0", { status: 400 }),
    get("subscribe", "/health/ws?service=R2_STORAGE", { status: 101 }),
    get("subscribe", "/health/ws", { status: 426 }),
    get("r2Status", "/health/r2/status"),
    get("metrics", "/metrics"),
    get("openapi", "/openapi.json"),
    get("statusPageSummary", "/health/summary.json"),
    ...["status", "uptime-24h", "uptime-7d", "uptime-30d"].map((name) =>
      get("badge", `/health/badges/R2_STORAGE/${name}.svg`),
    ),

    gateway("putObject", "PUT", "/r2/api/a.txt", { body: "0123456789", headers: { "content-type": "text/plain" } }),
    gateway("getObject", "GET", "/r2/api/a.txt"),
    gateway("getObject", "GET", "/r2/api/a.txt", { headers: { range: "bytes=2-4" }, status: 206 }),
    () => gateway("getObject", "GET", "/r2/api/a.txt", { headers: { "if-none-match": learned().etag }, status: 304 })(),
    gateway("getObject", "GET", "/r2/none", { status: 404 }),
    get("getObject", "/r2/api/a.txt", { status: 401 }),
    gateway("listObjects", "GET", "/r2/?prefix=api/&include=http_metadata,custom_metadata"),
    gateway("listObjects", "GET", "/r2/?delimiter=/"),
    gateway("putWithoutKey", "PUT", "/r2/", { status: 400, body: "x" }),
    gateway("deleteWithoutKey", "DELETE", "/r2/", { status: 400 }),
    gateway("deleteObject", "DELETE", "/r2/api/never", { status: 204 }),

    gateway("upload", "POST", "/r2/api/large?uploads"),
    () => gateway("putObject", "PUT", `/r2/api/large?partNumber=1&uploadId=${learned().uploadId}`, { body: "part" })(),
    () =>
      gateway("upload", "POST", `/r2/api/large?uploadId=${learned().uploadId}`, {
        json: { parts: [{ part_number: 1, etag: learned().etag }] },
      })(),
    gateway("upload", "POST", "/r2/api/large", { status: 400 }),

    operator("getConfig", "GET", "/health/config"),
    operator("putConfig", "PUT", "/health/config/R2_STORAGE/max_retries", { json: { value: 5 } }),
    operator("putConfig", "PUT", "/health/config/R2_STORAGE/max_retries", { json: { value: -1 }, status: 422 }),
    operator("check", "POST", "/health/check", { json: {} }),
    operator("testR2", "POST", "/health/r2/test"),

    operator("stopMonitor", "POST", "/health/monitor/stop", { json: { service: "R2_STORAGE" } }),
    operator("startMonitor", "POST", "/health/monitor/start"),
    gateway("upload", "POST", "/r2/api/queued?uploads"),
    () => gateway("putObject", "PUT", `/r2/api/queued?partNumber=1&uploadId=${learned().uploadId}`, { body: "part" })(),

    operator("putFaults", "PUT", `${SERVICE}/faults`, { json: WRITES_FAIL }),
    operator("getFaults", "GET", `${SERVICE}/faults`),
    operator("pauseQueue", "POST", "/health/queue/pause", { json: {} }),
    () =>
      gateway("upload", "POST", `/r2/api/queued?uploadId=${learned().uploadId}`, {
        json: { parts: [{ part_number: 1, etag: learned().etag }] },
        status: 202,
      })(),
    gateway("deleteObject", "DELETE", "/r2/api/a.txt", { status: 202 }),
    gateway("putObject", "PUT", "/r2/api/b.txt", { body: "queued", status: 202 }),
    gateway("listObjects", "GET", "/r2/?prefix=api/"),
    get("queueStatus", "/health/queue/status"),
    get("queueStatus", "/health/queue/status", { as: "operator" }),
    operator("listOperations", "GET", "/health/queue/operations?status=PENDING&limit=1"),
    operation("getOperation", "GET"),
    operation("getPayload", "GET", "/payload"),
    operator("exportQueue", "GET", "/health/queue/export"),
    operation("retryOperation", "POST", "/retry"),
    operation("cancelOperation", "POST", "/cancel"),
    operator("redrive", "POST", "/health/queue/redrive", { json: { force: true } }),
    operator("resumeQueue", "POST", "/health/queue/resume"),
    operator("deleteFaults", "DELETE", `${SERVICE}/faults`),

    operator("setMode", "PUT", `${SERVICE}/mode`, { json: { mode: "forced_closed", reason: "drill" } }),
    operator("setMode", "PUT", `${SERVICE}/mode`, { json: { mode: "off" }, status: 400 }),
    operator("degrade", "POST", `${SERVICE}/degrade`, { json: { reason: "drill", read_only: true } }),
    get("ready", "/health/ready", { status: 503 }),
    get("status", "/health/status", { status: 503 }),
    get("status", "/health/status", { headers: HEALTH_JSON, status: 503 }),
    gateway("putObject", "PUT", "/r2/api/c.txt", { body: "x", status: 503 }),
    get("incidents", "/health/incidents"),
    get("incidents", "/health/incidents?service=R2_STORAGE&limit=1", { as: "operator" }),
    get("statusPageSummary", "/health/summary.json"),
    get("metrics", "/metrics"),
    operator("recover", "POST", `${SERVICE}/recover`),
  ];
}

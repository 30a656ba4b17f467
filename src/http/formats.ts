/** The state of the services in the formats of others: Prometheus, Statuspage, badges. */
import { serviceStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import { badgeSvg, statusBadge, uptimeBadge } from "./badge";
import { type Call, json } from "./call";
import { serviceViews, viewOf } from "./health";
import { decodePart } from "./input";
import { metricFamilies } from "./metric-families";
import { askOrNull, serviceOfPath } from "./objects";
import { pageSummary } from "./page-summary";
import { PROMETHEUS_TYPE, prometheusText } from "./prometheus";

const MONITOR = "The service's monitor";

/** `GET /metrics`: answers with what is known, also while objects hang. */
export async function metrics(call: Call): Promise<Response> {
  const views = await serviceViews(call.env);
  const services = await Promise.all(
    views.map(async (view) => {
      const monitor = serviceStub(call.env, view.service);
      const [totals, history] =
        view.overview === null
          ? [null, null]
          : await Promise.all([
              askOrNull(MONITOR, () => monitor.totals()),
              askOrNull(MONITOR, () => monitor.history()),
            ]);
      return { ...view, totals, history };
    }),
  );
  return new Response(prometheusText(metricFamilies(services, Date.now())), {
    headers: { "content-type": PROMETHEUS_TYPE, "cache-control": "no-store" },
  });
}

/** `GET /health/summary.json`. */
export async function summary(call: Call): Promise<Response> {
  const views = await serviceViews(call.env);
  const services = await Promise.all(
    views.map(async (view) => ({
      ...view,
      incidents:
        view.overview === null
          ? null
          : await askOrNull(MONITOR, () => serviceStub(call.env, view.service).incidents(1)),
    })),
  );
  return json(pageSummary(services, new URL("/", call.url).href, Date.now()));
}

const UPTIME_HOURS: ReadonlyMap<string, number> = new Map([
  ["24h", 24],
  ["7d", 7 * 24],
  ["30d", 30 * 24],
]);
/** Every badge that there is, without its service. */
export const BADGES: readonly string[] = [
  "status.svg",
  ...[...UPTIME_HOURS.keys()].map((name) => `uptime-${name}.svg`),
];

/** `GET /health/badges/:serviceName/:badge`. A page of any origin may show it; caches may keep it for a minute. */
export async function badge(call: Call): Promise<Response> {
  const name = decodePart(call.params.badge ?? "");
  if (!BADGES.includes(name)) {
    throw new FailoverError("NOT_FOUND", `There is no such badge. There are ${BADGES.join(", ")}.`);
  }
  const service = await serviceOfPath(call);
  const period = name.slice("uptime-".length, -".svg".length);
  const hours = UPTIME_HOURS.get(period);
  const shown =
    hours === undefined
      ? statusBadge(service, (await viewOf(call.env, service)).overview?.record.status ?? null)
      : uptimeBadge(service, period, await uptime(call, service, hours));
  return new Response(badgeSvg(shown), {
    headers: {
      "content-type": "image/svg+xml; charset=utf-8",
      "cache-control": "public, max-age=60",
      "cross-origin-resource-policy": "cross-origin",
    },
  });
}

async function uptime(call: Call, service: string, hours: number): Promise<number | null> {
  const found = await askOrNull(MONITOR, () => serviceStub(call.env, service).availability(hours));
  return found?.time_based ?? null;
}

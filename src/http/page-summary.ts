/** The state of all services in the shape that clients of Statuspage read (its API v2, `summary.json`). Pure. */
import { OPERATION_CLASSES, type OperationClass } from "../shared/protocol";
import type { IncidentRecord, ServiceRecord, ServiceStatus } from "../shared/records";
import { type ServiceView, systemStatus } from "./status-summary";

type ComponentStatus = "operational" | "degraded_performance" | "partial_outage" | "major_outage";

export interface PageComponent {
  id: string;
  name: string;
  status: ComponentStatus;
  created_at: string | null;
  updated_at: string | null;
  position: number;
  description: string | null;
  showcase: boolean;
  start_date: string | null;
  group_id: string | null;
  page_id: string;
  group: boolean;
  only_show_if_degraded: boolean;
}

export interface PageIncident {
  id: string;
  name: string;
  status: "investigating" | "monitoring";
  impact: "minor" | "major" | "critical";
  created_at: string;
  updated_at: string;
  started_at: string;
  monitoring_at: string | null;
  resolved_at: string | null;
  shortlink: string;
  page_id: string;
  incident_updates: never[];
  components: PageComponent[];
}

export interface PageSummary {
  page: { id: string; name: string; url: string; time_zone: string; updated_at: string };
  status: { indicator: "none" | "minor" | "major" | "critical"; description: string };
  components: PageComponent[];
  incidents: PageIncident[];
  scheduled_maintenances: never[];
}

/** `incidents`: the latest ones, newest first; null: not known. */
export interface PageService extends ServiceView {
  readonly incidents: readonly IncidentRecord[] | null;
}

const PAGE_ID = "r2-failover";

const INDICATORS: Readonly<Record<ServiceStatus, PageSummary["status"]["indicator"]>> = {
  HEALTHY: "none",
  RECOVERING: "minor",
  DEGRADED: "major",
  OFFLINE: "critical",
};

/** `url`: of the page that shows the same to people. */
export function pageSummary(services: readonly PageService[], url: string, now: number): PageSummary {
  const { overall_status, message } = systemStatus(services, now);
  const components = services.flatMap(componentsOf).map((component, index) => ({ ...component, position: index + 1 }));
  return {
    page: { id: PAGE_ID, name: "r2-failover", url, time_zone: "Etc/UTC", updated_at: new Date(now).toISOString() },
    status: { indicator: INDICATORS[overall_status], description: message },
    components,
    incidents: services.flatMap((service) => {
      const own = components.filter(({ id }) => OPERATION_CLASSES.some((kind) => id === idOf(service.service, kind)));
      return incidentOf(service, own, url, now);
    }),
    scheduled_maintenances: [],
  };
}

function idOf(service: string, operations: OperationClass): string {
  return `${service}.${operations}`;
}

/** Reads and writes fail apart, so that they are shown apart. */
function componentsOf({ service, overview }: ServiceView): PageComponent[] {
  return OPERATION_CLASSES.map((operations) => ({
    id: idOf(service, operations),
    name: `${service} ${operations}s`,
    status: overview === null ? "degraded_performance" : componentStatus(overview.record, operations),
    created_at: null,
    updated_at: overview?.record.updated_at ?? null,
    position: 0,
    description: null,
    showcase: true,
    start_date: null,
    group_id: null,
    page_id: PAGE_ID,
    group: false,
    only_show_if_degraded: false,
  }));
}

/** A write that is queued is done later, not lost; one that is refused is not done. */
export function componentStatus(
  { circuits, read_only }: Pick<ServiceRecord, "circuits" | "read_only">,
  operations: OperationClass,
): ComponentStatus {
  if (operations === "write" && read_only) return "major_outage";
  const { admit } = circuits[operations];
  if (admit >= 1) return "operational";
  if (operations === "write") return "degraded_performance";
  return admit > 0 ? "partial_outage" : "major_outage";
}

const IMPACTS: Readonly<Record<ServiceStatus, PageIncident["impact"]>> = {
  HEALTHY: "minor",
  RECOVERING: "minor",
  DEGRADED: "major",
  OFFLINE: "critical",
};

/** The incident that has not ended. Its impact is the worst that was seen of it. */
function incidentOf(
  { service, overview, incidents }: PageService,
  components: PageComponent[],
  url: string,
  now: number,
): PageIncident[] {
  const open = incidents?.find(({ closed_at }) => closed_at === null);
  if (open === undefined) return [];
  const status = overview?.record.status ?? open.peak.status;
  return [
    {
      id: open.incident_id,
      name: `${service} is ${status.toLowerCase()}`,
      status: status === "RECOVERING" || status === "HEALTHY" ? "monitoring" : "investigating",
      impact: IMPACTS[open.peak.status],
      created_at: open.opened_at,
      started_at: open.opened_at,
      updated_at: new Date(now).toISOString(),
      monitoring_at: null,
      resolved_at: null,
      shortlink: url,
      page_id: PAGE_ID,
      incident_updates: [],
      components: components.filter((component) => component.status !== "operational"),
    },
  ];
}

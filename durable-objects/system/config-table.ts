/** `failover_config` as others see it: what was set, over the defaults of src/shared/config.ts. Pure. */
import {
  type ConfigRule,
  configProblem,
  configRules,
  DEFAULT_CONFIG,
  type EffectiveConfig,
  NOTIFICATION_SECTION,
  QUEUE_SECTION,
} from "../../src/shared/config";
import type { Refusal } from "../../src/shared/protocol";
import type { ConfigRecord } from "../../src/shared/records";
import type { ConfigRow } from "./system-store";

/** A row whose key or value this release does not know is left out: the default is in force. */
function valueSet(rows: readonly ConfigRow[], section: string, key: string, rule: ConfigRule): number | null {
  const row = rowOf(rows, section, key);
  const value = row === undefined ? Number.NaN : Number(row.config_value);
  return configProblem(rule, value) === null ? value : null;
}

function rowOf(rows: readonly ConfigRow[], section: string, key: string): ConfigRow | undefined {
  return rows.find((row) => row.service_name === section && row.config_key === key);
}

function sectionInForce<T extends Readonly<Record<string, number>>>(
  rows: readonly ConfigRow[],
  section: string,
  defaults: T,
): T {
  const set = Object.entries(configRules(section)).flatMap(([key, rule]) => {
    const value = valueSet(rows, section, key, rule);
    return value === null ? [] : [[key, value] as const];
  });
  return { ...defaults, ...Object.fromEntries(set) };
}

/** What is in force for one service: its own keys and the queue's. */
export function configOf(rows: readonly ConfigRow[], service: string): EffectiveConfig {
  return {
    service: sectionInForce(rows, service, DEFAULT_CONFIG.service),
    queue: sectionInForce(rows, QUEUE_SECTION, DEFAULT_CONFIG.queue),
  };
}

/** Every key of every section, set or not. */
export function configRecords(rows: readonly ConfigRow[], services: readonly string[]): ConfigRecord[] {
  const sections = [...services, QUEUE_SECTION, NOTIFICATION_SECTION];
  return sections.flatMap((section) =>
    Object.entries(configRules(section)).map(([key, rule]) => configRecord(rows, section, key, rule)),
  );
}

export function configRecord(rows: readonly ConfigRow[], section: string, key: string, rule: ConfigRule): ConfigRecord {
  const row = rowOf(rows, section, key);
  return {
    service_name: section,
    config_key: key,
    config_value: valueSet(rows, section, key, rule) ?? rule.default,
    config_type: "integer",
    default: rule.default,
    minimum: rule.minimum,
    maximum: rule.maximum,
    description: descriptionOf(key, rule),
    updated_at: row === undefined ? null : new Date(row.updated_at).toISOString(),
    updated_by: row?.updated_by ?? null,
  };
}

/** The number of shards is in every operation's id: a service keeps the one that it began with. */
export function descriptionOf(key: string, rule: ConfigRule): string {
  return key === "shards"
    ? `${rule.description}: a change is for services that are first used later`
    : rule.description;
}

/** The rule of a key, if the value is allowed; else why not. */
export function checkedRule(section: string, key: string, value: unknown): ConfigRule | Refusal {
  const rules = configRules(section);
  const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
  if (rule === undefined) {
    const known = Object.keys(rules).join(", ");
    return { ok: false, code: "UNKNOWN_CONFIG", message: `${section} has no key "${key}". Its keys are ${known}.` };
  }
  const problem = configProblem(rule, value);
  return problem === null ? rule : { ok: false, code: "INVALID_CONFIG", message: `${key} ${problem}.` };
}

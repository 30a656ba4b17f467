/** Badges: a label and a value on two coloured fields, as SVG. Pure. */
import type { ServiceStatus } from "../shared/records";

export interface Badge {
  readonly label: string;
  readonly value: string;
  readonly color: string;
}

const GREEN = "#2e7d32";
const YELLOW = "#8d6e00";
const ORANGE = "#b35900";
const RED = "#c62828";
const GREY = "#616161";

const STATUS_COLORS: Readonly<Record<ServiceStatus, string>> = {
  HEALTHY: GREEN,
  RECOVERING: YELLOW,
  DEGRADED: ORANGE,
  OFFLINE: RED,
};

/** Null: nobody can tell now. */
export function statusBadge(service: string, status: ServiceStatus | null): Badge {
  return {
    label: service,
    value: status === null ? "unknown" : status.toLowerCase(),
    color: status === null ? GREY : STATUS_COLORS[status],
  };
}

/** `percent` 0-100; null: no data. Rounded down, since 99.999 % is not 100 %. */
export function uptimeBadge(service: string, period: string, percent: number | null): Badge {
  const label = `${service} uptime ${period}`;
  if (percent === null) return { label, value: "no data", color: GREY };
  const color = percent >= 99.9 ? GREEN : percent >= 99 ? YELLOW : percent >= 95 ? ORANGE : RED;
  return { label, value: `${Math.floor(percent * 100) / 100} %`, color };
}

const HEIGHT = 20;
/** Wider than most letters of the font: better some space than text that runs over. */
const LETTER_WIDTH = 7;
const PADDING = 8;
const MAX_LABEL = 64;

export function badgeSvg({ label, value, color }: Badge): string {
  const shown = label.length > MAX_LABEL ? `${label.slice(0, MAX_LABEL - 1)}…` : label;
  const left = shown.length * LETTER_WIDTH + 2 * PADDING;
  const right = value.length * LETTER_WIDTH + 2 * PADDING;
  const title = escapeXml(`${shown}: ${value}`);
  const text = (content: string, center: number) =>
    `<text x="${center}" y="14" text-anchor="middle">${escapeXml(content)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="${HEIGHT}" role="img" aria-label="${title}">`,
    `<title>${title}</title>`,
    `<rect width="${left}" height="${HEIGHT}" fill="#424242"/>`,
    `<rect x="${left}" width="${right}" height="${HEIGHT}" fill="${color}"/>`,
    `<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">`,
    text(shown, left / 2) + text(value, left + right / 2),
    "</g></svg>",
  ].join("");
}

/** What XML 1.0 does not allow at all is left out; the rest is escaped. */
function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "")
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** R2's HTTP status for its caller errors, where it is not 400 (Cloudflare docs, R2 API error codes). */
const STATUS: Readonly<Record<number, number>> = {
  10002: 401,
  10003: 403,
  10006: 404,
  10007: 404,
  10024: 404,
  10031: 412,
  10033: 411,
  10035: 403,
  10039: 416,
  10042: 403,
  10069: 403,
};

export function r2HttpStatus(code: number): number {
  return STATUS[code] ?? 400;
}

/** Lists as they must be, from the acknowledgements alone: everything that is there, in order, and nothing twice. */
import type { Client, Listed } from "./client.ts";
import { type Fault, type Finding, type KeyHistory, UNWRITTEN, type Value } from "./oracle.ts";
import type { Random } from "./random.ts";

const DELIMITER = "/";

export interface ListQuestion {
  readonly prefix: string;
  readonly isDelimited: boolean;
}

export interface ListAnswered {
  readonly objects: readonly Listed[];
  readonly prefixes: readonly string[];
}

/**
 * Compares a list, all its pages together, with what is allowed. `mustHave`: the keys that may not be missing, if they
 * are certain to exist: all of them, or, while R2 is away, those that are queued.
 */
export function judgeList(
  histories: ReadonlyMap<string, KeyHistory>,
  { prefix, isDelimited }: ListQuestion,
  { objects, prefixes }: ListAnswered,
  mustHave: (key: string) => boolean,
): Finding[] {
  const folderOf = (key: string): string | null => {
    const at = isDelimited ? key.indexOf(DELIMITER, prefix.length) : -1;
    return at === -1 ? null : key.slice(0, at + 1);
  };
  const below = [...histories].filter(([key]) => key.startsWith(prefix));
  const certain = below.filter(([key, { allowed }]) => mustHave(key) && !allowed.includes(null)).map(([key]) => key);
  const possible = below.filter(([, { allowed }]) => allowed.some((value) => value !== null)).map(([key]) => key);
  const listed = new Set([...objects.map(({ key }) => key), ...prefixes]);
  const folders = new Set(possible.map(folderOf));
  return [
    ...disorder(objects.map(({ key }) => key)),
    ...disorder(prefixes),
    ...objects.flatMap((object) => judgeListed(histories.get(object.key), object, folderOf(object.key) !== null)),
    ...prefixes
      .filter((name) => !folders.has(name))
      .map((key) => finding(key, "unexplained", "a listed prefix of nothing")),
    ...certain
      .filter((key) => !listed.has(folderOf(key) ?? key))
      .map((key) => finding(key, "lost", `not in the list of "${prefix}"`)),
  ];
}

function judgeListed(history: KeyHistory = UNWRITTEN, { key, size, etag }: Listed, isInFolder: boolean): Finding[] {
  if (isInFolder) return [finding(key, "wrong", "listed beside its prefix")];
  const isIt = (value: Value) => value !== null && value.size === size && value.etag === etag;
  if (history.allowed.some(isIt)) return [];
  if (history === UNWRITTEN) return [finding(key, "unexplained", "listed")];
  if (history.allowed.every((value) => value === null)) return [finding(key, "resurrected", "listed")];
  if (history.former.some(isIt)) return [finding(key, "lost", "listed as it was before")];
  return [finding(key, "wrong", `listed with ${size} bytes and the etag ${etag}`)];
}

/** R2 lists by the bytes of UTF-8. */
function disorder(names: readonly string[]): Finding[] {
  return names.flatMap((name, index) => {
    const before = names[index - 1];
    if (before === undefined) return [];
    const order = Buffer.compare(Buffer.from(before), Buffer.from(name));
    if (order < 0) return [];
    return [finding(name, "wrong", order === 0 ? "listed twice" : `listed after ${before}`)];
  });
}

function finding(key: string, fault: Fault, detail: string): Finding {
  return { key, fault, detail };
}

/** Lists through the gateway, page by page. */
export class Lists {
  readonly #random: Random;
  readonly tally = { lists: 0, pages: 0, keys: 0 };

  constructor(random: Random) {
    this.#random = random;
  }

  /** The whole list, or why there is none. `isPartial`: of what is known without R2. */
  async read(client: Client, question: ListQuestion, isPartial: boolean): Promise<ListAnswered | string> {
    const objects: Listed[] = [];
    const prefixes: string[] = [];
    let cursor: string | null = null;
    do {
      const limit = 5 + this.#random.below(100);
      const delimiter = question.isDelimited ? DELIMITER : "";
      const answer = await client.list({ prefix: question.prefix, delimiter, limit, cursor, isPartial });
      if (answer.kind !== "done") return answer.why;
      const page = answer.value;
      if (page.objects.length + page.delimited_prefixes.length > limit) return `a page of more than ${limit}`;
      if (page.partial !== isPartial) return `a list that says partial: ${page.partial}`;
      objects.push(...page.objects);
      prefixes.push(...page.delimited_prefixes);
      cursor = page.cursor;
      this.tally.pages += 1;
    } while (cursor !== null);
    this.tally.lists += 1;
    this.tally.keys += objects.length;
    return { objects, prefixes };
  }
}

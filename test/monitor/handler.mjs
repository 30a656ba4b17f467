/** A Worker of somebody else: a handler for RPC, and a site. Both can be broken. */
import { WorkerEntrypoint } from "cloudflare:workers";

let isHandlerWell = true;
let isSiteWell = true;

export default class extends WorkerEntrypoint {
  health() {
    if (!isHandlerWell) throw new Error("the handler is down");
    return true;
  }

  setHandler(isWell) {
    isHandlerWell = isWell;
  }

  setSite(isWell) {
    isSiteWell = isWell;
  }

  fetch() {
    return new Response("site", { status: isSiteWell ? 200 : 503 });
  }
}

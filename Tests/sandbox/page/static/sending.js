/* What the page says of a request that it has sent. */

import { h, showMessage } from "./dom.js";

/** Show how a request was answered, which credentials it had, and a link to it. */
export function showAnswer(message, { status, sentWith, requestId }) {
  const credentials = sentWith ? `, sent with ${sentWith}` : "";
  const isGood = status && status < 400;
  showMessage(message, (status ? `Answered ${status}` : "No answer arrived") + `${credentials}. `, isGood ? "ok" : "bad");
  if (requestId !== null) message.append(h("a", { href: `#/requests/${requestId}` }, `Open request ${requestId}`));
}

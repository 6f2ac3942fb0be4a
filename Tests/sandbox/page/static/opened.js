/* A request or an incident that is open: what arrived, and what became of it. */

import { post } from "./api.js";
import { answerLine, answerParts, headerTable, hexadecimal, incidentCard, pretty, statusTag, textBlock, withoutIncident } from "./incident.js";
import { busy, button, clock, copyButton, count, duration, h, messagePlace, panel, size } from "./dom.js";
import { showAnswer } from "./sending.js";

const INCIDENT = "incident-"; // before the number in the address of an incident

export function isIncident(id) {
  return id.startsWith(INCIDENT);
}

export function addressOf(id) {
  const number = encodeURIComponent(id.replace(INCIDENT, ""));
  return isIncident(id) ? `/api/incidents/${number}` : `/api/requests/${number}`;
}

/** Return the IDs of the incidents that are shown. */
export function numbersOf(found) {
  return (found.incidents ?? [found]).map(({ id }) => id);
}

export function back(id) {
  return h("a", { class: "back", href: "#/requests" }, isIncident(id) ? "All incidents" : "All requests");
}

export function incidentDetail(found) {
  return [
    back(INCIDENT),
    h(
      "header",
      { class: "detail-head" },
      h("h3", { id: "detail-title", tabindex: "-1" }, `Incident ${found.id}`),
      h("p", { class: "facts" }, h("span", {}, "created ", clock(found.created)), madeBy(found.requestId)),
    ),
    h("div", { class: "panel" }, incidentCard(found)),
  ];
}

function madeBy(id) {
  return h("span", {}, id === null ? "its request is not kept" : h("a", { href: `#/requests/${id}` }, `Open request ${id}`));
}

export function requestDetail(found) {
  const message = messagePlace();
  const again = button(
    "Send again",
    () =>
      busy(again, message, async () => {
        showAnswer(message, await post(`/api/requests/${found.id}/send`));
      }),
    { class: "primary" },
  );
  const facts = [
    clock(found.time),
    found.sender ? `from ${found.sender}` : "",
    duration(found.milliseconds),
    size(found.bodyBytes),
    found.readAs ? `read as ${found.readAs}` : "",
  ].filter(Boolean);
  return [
    back(""),
    h(
      "header",
      { class: "detail-head" },
      h("h3", { id: "detail-title", tabindex: "-1" }, `Request ${found.id}`),
      h("p", { class: "request-line text" }, h("span", { class: "method" }, found.method), " ", h("code", {}, found.path)),
      h(
        "p",
        { class: "facts" },
        statusTag(found.status),
        facts.map((fact) => h("span", {}, fact)),
      ),
      h("div", { class: "actions" }, again, message),
    ),
    h("div", { class: "side-by-side" }, asReceived(found), whatBecame(found)),
  ];
}

function asReceived(found) {
  return panel(
    "As received",
    { level: 4, id: "as-received" },
    h(
      "details",
      { class: "fold", open: true },
      h("summary", {}, count(found.headers.length, "header")),
      headerTable(found.headers, "Headers of the request"),
    ),
    body(found),
  );
}

/** Return the body with a switch between pretty and raw; bytes are shown in hexadecimal. */
function body({ body: { text, base64 }, bodyBytes, bodyCut }) {
  if (!bodyBytes) return h("p", { class: "hint" }, "No body.");
  const isText = text !== undefined && text !== null;
  const block = textBlock("", "Body of the request");
  const note = bodyCut ? h("p", { class: "hint" }, `Cut here; the sender posted ${size(bodyBytes)}.`) : null;
  const show = (raw) => (block.textContent = isText ? (raw ? text : pretty(text)) : raw ? base64 : hexadecimal(base64));
  const option = (label, raw) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "body-form", checked: !raw, on: { change: () => show(raw) } }),
      h("span", {}, label),
    );
  show(false);
  return h(
    "div",
    { class: "body" },
    h(
      "div",
      { class: "body-head" },
      h("span", { class: "label" }, "Body"),
      h(
        "fieldset",
        { class: "switch" },
        h("legend", { class: "hidden-text" }, "Show the body"),
        option(isText ? "Pretty" : "Hex", false),
        option(isText ? "Raw" : "Base64", true),
      ),
      copyButton(() => (isText ? text : base64), "Copy the body"),
    ),
    block,
    note,
  );
}

export function whatBecame(found) {
  return panel(
    "What became of it",
    { level: 4, id: "what-became" },
    answerLine({ ...found.answer, milliseconds: found.milliseconds }, found.error),
    withoutIncident(found),
    found.incidents.slice(0, 50).map((incident, index) => incidentCard(incident, { level: 5, open: index < 3 })),
    found.incidentCount > 50 ? h("p", { class: "hint" }, `And ${count(found.incidentCount - 50, "more incident")}.`) : null,
    answerParts(found.answer ?? {}, !found.incidents.length),
  );
}

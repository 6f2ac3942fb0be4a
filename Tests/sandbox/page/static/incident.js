/* A request and what became of it, as the views Try it and Requests show them. */

import { clock, copyButton, count, h } from "./dom.js";
import { tree } from "./tree.js";

const SEVERITIES = { 0: "Unknown", 0.5: "Informational", 1: "Low", 2: "Medium", 3: "High", 4: "Critical" };
const FIRST = ["name", "type", "severity", "occurred", "details"];
const LABELS = { name: "Name", type: "Type", severity: "Severity", occurred: "Occurred", details: "Details", created: "Created", closeReason: "Close reason", closeNotes: "Close notes" };
const APART = new Set([...FIRST, "id", "rawJSON", "entries", "status"]);
const CLOSED = 2;
const INSTANCE = /^\/instance\/execute\/[^/?]*\/?/; // what the paths of all requests begin with

/** Return a status as a word in its colour: the number, or that there was no answer. */
export function statusTag(status, reason = "") {
  const kind = status >= 500 || !status ? "bad" : status >= 400 ? "warn" : "ok";
  return h("span", { class: `status ${kind}` }, status ? `${status} ${reason}`.trim() : "no answer");
}

/** Return a severity as a word next to its mark. */
export function severityTag(severity) {
  const name = SEVERITIES[severity] ?? String(severity ?? "Unknown");
  return h("span", { class: "severity", "data-severity": SEVERITIES[severity] ? String(severity) : "0" }, name);
}

/** Return tags for an alert that has ended and an incident that is closed. */
function stateTags({ ended, status }) {
  return [ended ? "ended" : "", status === CLOSED ? "closed" : ""]
    .filter(Boolean)
    .map((text) => h("span", { class: "tag state" }, text));
}

/** Return an incident with its fields, where each comes from, and its raw JSON. */
export function incidentCard(incident, { level = 4, open = true } = {}) {
  const raw = incident.raw ?? null;
  return h(
    "article",
    { class: "incident" },
    h(
      "header",
      {},
      h(
        `h${level}`,
        {},
        h("span", { class: "number" }, incident.id ? `#${incident.id}` : "no ID"),
        " ",
        h("span", { class: "text" }, incident.name || "without a name"),
      ),
      h(
        "p",
        { class: "tags" },
        severityTag(incident.severity),
        incident.type ? h("span", { class: "tag" }, incident.type) : null,
        incident.isTo
          ? h("a", { class: "tag strong", href: `#/requests/incident-${incident.id}` }, `${incident.isTo} #${incident.id}`)
          : null,
        stateTags({ ended: incident.ended, status: incident.fields?.status }),
      ),
    ),
    recognition(incident),
    timeline(incident),
    fieldTable(incident),
    raw === null
      ? null
      : h(
          "details",
          { class: "fold", open },
          h("summary", {}, "rawJSON ", h("span", { class: "muted" }, "everything the sender posted")),
          tree(raw, { label: "rawJSON", depth: 2 }),
          copyButton(() => JSON.stringify(raw, null, 2), "Copy the raw JSON"),
        ),
  );
}

/** Return the entries of the War Room, the oldest first; null without any. */
function timeline({ id, fields }) {
  const entries = fields?.entries ?? [];
  if (!entries.length) return null;
  return h(
    "ol",
    { class: "history", "aria-label": `War Room of incident ${id ?? ""}` },
    entries.map(({ time, text }) => {
      const [first, ...words] = text.split("\n");
      return h(
        "li",
        {},
        clock(time),
        " ",
        h("span", { class: "text" }, first),
        words.length ? h("details", { class: "fold" }, h("summary", {}, "The entry"), textBlock(words.join("\n"), "Entry")) : null,
      );
    }),
  );
}

function fieldTable(incident) {
  const values = {
    ...incident.fields,
    ...Object.fromEntries(FIRST.map((name) => [name, incident[name] ?? incident.fields?.[name]])),
  };
  const rest = Object.keys(values).filter((name) => !APART.has(name) && filled(values[name]));
  const rows = [...FIRST.filter((name) => filled(values[name])), ...rest];
  return h(
    "table",
    { class: "fields" },
    h("caption", { class: "hidden-text" }, `Fields of incident ${incident.id ?? ""}`),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Field", "Value", "Given by"].map((title) => h("th", { scope: "col" }, title)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((name) => fieldRow(name, values[name], incident.sources?.[name])),
    ),
  );
}

function filled(value) {
  return value !== null && value !== undefined && value !== "" && !(Array.isArray(value) && !value.length);
}

function fieldRow(name, value, source) {
  return h(
    "tr",
    {},
    h("th", { scope: "row", title: name }, Object.hasOwn(LABELS, name) ? LABELS[name] : name),
    h(
      "td",
      { class: "text" },
      name === "severity"
        ? severityTag(value)
        : typeof value === "object"
          ? tree(value, { depth: 1, label: name })
          : String(value),
    ),
    h("td", { class: "source" }, sourceText(source)),
  );
}

/** Return which parameter gave a field, and by which path. */
export function sourceText(source) {
  if (!source) return "";
  return [source.display, source.path ? [": ", h("code", {}, source.path)] : null];
}

/** Return which sender's an incident is, and the path that gave its name; null if nobody was to be recognized. */
export function recognition({ recognizedAs, sources }) {
  if (typeof recognizedAs !== "string") return null;
  const gave = { recognize: "name from ", usual: "name from the usual field " }[sources?.name?.parameter];
  return h(
    "p",
    { class: "muted" },
    recognizedAs ? `Recognized as ${recognizedAs}` : "Not recognized",
    gave ? ["; ", gave, h("code", {}, sources.name.path)] : null,
  );
}

/** Return headers as a table. */
export function headerTable(headers, caption) {
  return h(
    "table",
    { class: "headers" },
    h("caption", { class: "hidden-text" }, caption),
    h("thead", { class: "hidden-text" }, h("tr", {}, h("th", { scope: "col" }, "Header"), h("th", { scope: "col" }, "Value"))),
    h(
      "tbody",
      {},
      headers.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "text" }, value))),
    ),
  );
}

/** Return a block of text that can be scrolled with the keyboard. */
export function textBlock(text, label) {
  return h("pre", { class: "block", tabindex: "0", role: "region", "aria-label": label }, text);
}

/** Return JSON with line breaks, each token unchanged; any other text as it is. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g) ?? [];
  let depth = 0;
  return tokens.map((token, index) => indented(token, tokens[index - 1], tokens[index + 1])).join("");

  function indented(token, before, after) {
    if (token === "{" || token === "[") {
      depth += 1;
      return "}]".includes(after) ? token : token + line();
    }
    if (token === "}" || token === "]") {
      depth -= 1;
      return "{[".includes(before) ? token : line() + token;
    }
    if (token === ",") return token + line();
    return token === ":" ? ": " : token;
  }

  function line() {
    return "\n" + "  ".repeat(depth);
  }
}

/** Return bytes in base64 as lines of hexadecimal, the first 4 KiB of them. */
export function hexadecimal(base64) {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).subarray(0, 4096);
  const lines = [];
  for (let from = 0; from < bytes.length; from += 16) {
    const row = [...bytes.subarray(from, from + 16)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${from.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

/** Return the status of an answer, its time, and the sentence of a refusal. */
export function answerLine({ status, reason = "", milliseconds }, error = "") {
  const time = typeof milliseconds === "number" ? h("span", { class: "muted" }, `in ${milliseconds.toFixed(1)} ms`) : null;
  return [
    h("p", { class: "answer-line" }, statusTag(status, reason), time),
    error ? h("p", { class: "sentence text" }, error) : null,
  ];
}

/** Return the body and the headers of an answer, folded unless `open`. */
export function answerParts({ headers = [], body = "" }, open) {
  if (!body && !headers.length) return null;
  return h(
    "details",
    { class: "fold answer", open },
    h(
      "summary",
      {},
      "The answer ",
      h("span", { class: "muted" }, body ? "its body and " : "no body, ", count(headers.length, "header")),
    ),
    body ? textBlock(pretty(body), "Body of the answer") : null,
    headers.length ? headerTable(headers, "Headers of the answer") : null,
  );
}

/** Return a row of the list of incidents as a link. */
export function incidentRow(row) {
  return h(
    "a",
    { class: "row", href: `#/requests/incident-${row.id}`, "data-id": `incident-${row.id}`, "data-before": row.id },
    h(
      "span",
      { class: "row-top" },
      h("span", { class: "number" }, `#${row.id}`),
      severityTag(row.severity),
      h("span", { class: "path text" }, row.type ?? ""),
      h("span", { class: "when" }, clock(row.created)),
    ),
    h("span", { class: "row-bottom" }, h("span", { class: "became text" }, row.name || "without a name"), stateTags(row)),
  );
}

/** Return by which rules events of a request were ignored, empty if none was. */
function ignoredText({ ignored = [] }) {
  const rules = ignored.map(({ rule, count: events }) => (events > 1 ? `${rule} (${count(events, "event")})` : rule));
  return rules.length ? `ignored: ${rules.join("; ")}` : "";
}

/** Return how many events of a request each rule ignored. */
export function ignoredRules({ ignored = [] }) {
  return ignored.map(({ rule, count: events }) =>
    h("p", { class: "hint" }, `${count(events, "event")} ignored by the rule `, h("code", {}, rule), " of Ignore events where."),
  );
}

/** Return why a request created no incident, or not one for each of its events; null if there is nothing to say. */
export function withoutIncident({ incidents, handshake, ignored, error, answer }) {
  const rules = ignoredRules({ ignored });
  if (incidents.length) return rules;
  const isDropped = !error && !rules.length && answer.body.trim() === "[]";
  return [
    h(
      "p",
      { class: "hint" },
      handshake ? h("span", {}, h("strong", {}, handshake), ", answered. ") : null,
      "No incident was created.",
      isDropped ? " A pre-processing rule dropped it." : null,
    ),
    rules,
  ];
}

/** Return a row of the list of requests as a link. */
export function requestRow(row) {
  const names = row.incidents.map((incident) => incident.name).filter(Boolean).join(", ");
  const more = row.incidentCount - row.incidents.length;
  const ignored = row.incidentCount ? "" : ignoredText(row);
  const none = row.handshake || ignored || "no incident";
  const became = row.error || (row.incidentCount ? names + (more > 0 ? ` and ${more} more` : "") : none);
  const notes = [
    ...(more > 0 ? [] : row.incidents.filter(({ isTo }) => isTo).map(({ isTo, id }) => `${isTo} #${id}`)),
    row.createdCount > 1 ? count(row.createdCount, "incident") : "",
    row.incidentCount ? ignoredText(row) : "",
    row.readAs === "JSON" ? "" : row.readAs,
  ];
  return h(
    "a",
    { class: "row", href: `#/requests/${row.id}`, "data-id": row.id, "data-before": row.id },
    h(
      "span",
      { class: "row-top" },
      statusTag(row.status),
      h("span", { class: "method" }, row.method),
      h("span", { class: "path text", title: row.path }, row.path.replace(INSTANCE, "/")),
      h("span", { class: "when" }, clock(row.time)),
    ),
    h(
      "span",
      { class: "row-bottom" },
      h("span", { class: "became text" }, became),
      h("span", { class: "muted" }, notes.filter(Boolean).join(" · ")),
    ),
  );
}

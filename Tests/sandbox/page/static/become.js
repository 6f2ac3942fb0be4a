/* What the last requests would have become with other parameters. */

import { post } from "./api.js";
import { ignoredRules, recognition, severityTag, sourceText } from "./incident.js";
import { clock, count, debounced, fill, h, messagePlace, panel, showMessage, throttled } from "./dom.js";

const SHOWN = [
  ["type", "Type"],
  ["occurred", "Occurred"],
  ["duplicationKey", "Duplication key"],
];

/** Return the panel with what the last requests become with the values of the form. */
export function previewPanel(app, form, update) {
  const place = h("div", { class: "stack", id: "preview" });
  const note = messagePlace();
  let turn = 0;

  async function show() {
    const mine = ++turn;
    try {
      const [now, then] = await Promise.all([
        post("/api/preview", { params: {} }),
        post("/api/preview", { params: form.changes() }),
      ]);
      if (mine !== turn) return;
      draw(now.requests, then.requests);
      update(then.requests);
    } catch (error) {
      if (mine === turn) showMessage(note, error.message, "bad");
    }
  }

  function draw(now, then) {
    const before = new Map(now.map((request) => [request.id, request]));
    const different = then.filter((request) => JSON.stringify(request) !== JSON.stringify(before.get(request.id))).length;
    showMessage(
      note,
      !then.length
        ? "No accepted requests yet: send some from Try it."
        : different
          ? `${different} of ${count(then.length, "request")} would change.`
          : then.length === 1
            ? "The last request, as the instance reads it now."
            : `The last ${then.length} requests, as the instance reads them now.`,
    );
    fill(
      place,
      then.map((request) => previewed(request, before.get(request.id))),
    );
  }

  const refresh = debounced(show, 200);
  const refreshLive = throttled(show, 1000);
  app.events.listen("request", () => document.getElementById("view-mapping").hidden || refreshLive());
  app.addEventListener("reset", refresh);
  const element = panel("What the last requests become", { id: "map-preview" }, note, place);
  return { element, refresh };
}

/** Return a request with its incidents; differences from `before` are marked. */
function previewed(request, before) {
  const incidents = request.incidents.slice(0, 5);
  return h(
    "article",
    { class: "previewed" },
    h(
      "header",
      {},
      h("h4", {}, h("a", { href: `#/requests/${request.id}` }, `Request ${request.id}`)),
      h("span", { class: "muted" }, request.time ? clock(request.time) : "", " ", count(request.incidents.length, "event")),
    ),
    request.error ? h("p", { class: "sentence text" }, request.error) : null,
    ignoredRules(request),
    incidents.map((incident, index) => previewedIncident(incident, before?.incidents[index])),
    request.incidents.length > incidents.length
      ? h("p", { class: "muted" }, `and ${request.incidents.length - incidents.length} more`)
      : null,
  );
}

function previewedIncident(incident, before) {
  const changed = (field) => before && JSON.stringify(before[field] ?? "") !== JSON.stringify(incident[field] ?? "");
  const was = (field) =>
    changed(field) ? h("span", { class: "was" }, "was ", h("s", { class: "text" }, String(before[field] || "empty"))) : null;
  const source = (field) =>
    incident.sources?.[field] ? h("span", { class: "source" }, sourceText(incident.sources[field])) : null;
  const fields = h(
    "dl",
    { class: "become" },
    h("dt", {}, "Name"),
    h(
      "dd",
      { class: changed("name") ? "changed" : "" },
      h("strong", { class: "text" }, incident.name),
      was("name"),
      source("name"),
    ),
    h("dt", {}, "Severity"),
    h(
      "dd",
      { class: changed("severity") ? "changed" : "" },
      severityTag(incident.severity ?? 0),
      changed("severity") ? h("span", { class: "was" }, "was ", severityTag(before.severity ?? 0)) : null,
      source("severity"),
    ),
    SHOWN.filter(([field]) => incident[field] || changed(field)).map(([field, label]) => [
      h("dt", {}, label),
      h(
        "dd",
        { class: changed(field) ? "changed" : "" },
        h("span", { class: "text" }, String(incident[field] || "none")),
        was(field),
        source(field),
      ),
    ]),
  );
  return [recognition(incident), fields];
}

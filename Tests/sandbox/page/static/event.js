/* The event in which a click chooses a path: one of the last requests, or a stored sample. */

import { get, post } from "./api.js";
import { recognition, severityTag, sourceText } from "./incident.js";
import { busy, button, count, fill, h, messagePlace, panel, showMessage } from "./dom.js";
import { tree } from "./tree.js";

const OF_REQUEST = ["headers", "query", "path", "source_address"]; // what each incident holds of its request
const NO_PATH = /[,+[\]{}]|^$|^\s|\s$/; // such keys cannot be written in a path
const EVENTS = "events_path";
const SAMPLES = "store_samples";
const TRIES = 5; // the instance stores its samples every few seconds
const AGAIN_MS = 2500;

/** Return the panel with an event to choose paths in. */
export function samplePanel(app, form) {
  const place = h("div", { class: "stack", id: "samples" });
  const choice = h("select", { id: "sample", on: { change: () => choose(choice.value, true) } });
  const field = h("div", { class: "field", hidden: true }, h("label", { for: "sample" }, "Event of"), choice);
  const hint = h("p", { class: "hint" }, "No accepted requests yet: send one from Try it, and its event appears here.");
  const message = messagePlace();
  const fetchThem = button("Fetch samples", () => busy(fetchThem, message, fetchNow), { id: "fetch" });
  const turnOn = button("Turn samples on & restart", () => busy(turnOn, message, turnOnNow), { hidden: true });
  let requests = []; // of the last ones: those that become an incident, as the preview has them
  let samples = [];
  let shown = null; // {key, raw, events}: what the tree shows
  let isChosen = false; // by hand
  let triesLeft = 0;
  let drawn = "";

  const kept = () => !app.parameter(SAMPLES) || String(app.parameter(SAMPLES).value) === "true";
  const explained = () => requests.find(({ id }) => shown?.key === `request-${id}`)?.incidents[0];

  /** Take over the last requests; the newest is shown until somebody chooses another. */
  function update(all) {
    requests = all.filter(({ incidents }) => incidents.length);
    fillChoice();
    if (!shown && requests.length) choose(`request-${requests[0].id}`);
    else draw();
  }

  function showNewest() {
    if (!isChosen) shown = null;
  }

  function fillChoice() {
    const group = (label, options) => (options.length ? h("optgroup", { label }, options) : null);
    const last = requests.map(({ id, incidents }) =>
      h("option", { value: `request-${id}` }, `Request ${id}: ${incidents[0].name}`),
    );
    const stored = samples.map(({ name }, index) => h("option", { value: `sample-${index}` }, `${index + 1}. ${name}`));
    fill(choice, group("Last requests", last), group("Stored samples", stored));
    field.hidden = !last.length && !stored.length;
    hint.hidden = !field.hidden;
    if (shown) choice.value = shown.key;
  }

  async function choose(key, byHand = false) {
    isChosen = byHand;
    const [kind, number] = key.split("-");
    try {
      const found = kind === "sample" ? samples[number] : await get(`/api/requests/${number}/sample`);
      shown = { key, raw: found.raw, events: found.events ?? "" };
      choice.value = key;
      draw();
    } catch (error) {
      showMessage(message, error.message, "bad");
    }
  }

  async function fetchNow() {
    triesLeft = TRIES;
    showMessage(message, "Running fetch-incidents");
    await fetchOnce();
  }

  /** Run fetch-incidents; repeat it soon if the instance keeps samples and has stored none yet. */
  async function fetchOnce() {
    const found = await post("/api/samples");
    samples = found.samples;
    turnOn.hidden = samples.length > 0 || kept();
    showMessage(message, samples.length ? count(samples.length, "sample") : found.hint, samples.length ? "ok" : "");
    fillChoice();
    if (samples.length) await choose("sample-0", true);
    triesLeft -= 1;
    if (!samples.length && kept() && triesLeft > 0) setTimeout(() => busy(fetchThem, message, fetchOnce), AGAIN_MS);
  }

  async function turnOnNow() {
    showMessage(message, "Restarting the instance");
    await post("/api/instance", { params: app.paramsWith({ [SAMPLES]: true }) });
    await app.readInstance();
    turnOn.hidden = true;
    showMessage(message, "Samples are kept from now on. Send a request, then fetch again.", "ok");
  }

  /** Redraw the event if it or its clickable values changed; otherwise only mark which values are used. */
  function draw() {
    const incident = explained();
    const wanted = JSON.stringify([shown, incident, form.goal() === EVENTS, form.value(EVENTS)]);
    if (wanted === drawn) return void markUses(place, form);
    drawn = wanted;
    if (!shown) return void fill(place);
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    fill(place, incident ? explanation(incident, form) : null, sampleTree(shown, form, incident));
    markUses(place, form);
    if (focused) [...place.querySelectorAll(".pick")].find((one) => one.dataset.place === focused)?.focus();
  }

  app.addEventListener("reset", () => {
    requests = [];
    samples = [];
    shown = null;
    fillChoice();
    draw();
  });
  const element = panel("Event", { id: "map-samples", tools: [turnOn, fetchThem] }, message, hint, field, place);
  return { element, draw, update, showNewest };
}

const ROW = [
  // what a row gives, what it is called, the parameter that overrides it, and what the incident has of it
  ["name", "Name", "name_from", "name"],
  ["severity", "Severity", "severity_from", "severity"],
  ["occurred", "Time", "occurred_from", "occurred"],
  ["identity", "Identity", null, "identity"],
  ["closed", "Status", null, "status"],
];

/** Return what the row of a recognized sender reads, and what it found in this event; else what was recognized. */
function explanation(incident, form) {
  if (!incident.row) return recognition(incident);
  const line = ([field, label, parameter, value]) => {
    const source = incident.sources?.[field];
    const overridden = source && source.parameter !== "recognize" && parameter === source.parameter;
    const shown = field === "severity" ? severityTag(incident.severity ?? 0) : incident[value];
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, label),
      h(
        "td",
        {},
        field === "closed" && incident.row.closed ? "ended by " : null,
        incident.row[field] ? h("code", {}, incident.row[field]) : "nothing",
        overridden ? h("p", { class: "source" }, "Overridden by ", sourceText(source)) : null,
      ),
      h("td", { class: "text" }, shown || ""),
      h(
        "td",
        {},
        parameter
          ? button("Override", () => form.choose(parameter), {
              class: "quiet",
              "aria-label": `Override the ${label.toLowerCase()}: the next click on a value sets it`,
            })
          : null,
      ),
    );
  };
  return h(
    "details",
    { class: "fold", open: true },
    h("summary", {}, `Recognized as ${incident.recognizedAs}`),
    h("p", { class: "hint" }, "What this sender's row reads. A parameter that finds a value overrides it."),
    h(
      "table",
      { class: "row-reads" },
      h("caption", { class: "hidden-text" }, `What the row of ${incident.recognizedAs} reads`),
      h("thead", {}, h("tr", {}, ["Field", "Read from", "In this event", "Override"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, ROW.map(line)),
    ),
  );
}

/** Return a sample's tree in which what the goal can use is a button. */
function sampleTree({ raw, events }, form, incident) {
  const eventsPath = form.value(EVENTS).trim() || events;
  const array = form.goal() === EVENTS;
  /** Return the fields for which a sender's row, or a usual field name, reads a path. */
  const givenBy = (path) =>
    ROW.filter(([field]) => {
      const source = incident?.sources?.[field];
      return ["recognize", "usual"].includes(source?.parameter) && source.path.split(", ").includes(path);
    }).map(([, label]) => label);
  const pickButton = (path, content) => {
    const written = array ? path.join(".") : pathOf(path, raw, eventsPath);
    const made = button(content, () => form.pick(written), {
      class: "pick",
      title: written,
      "data-path": written,
      "data-place": JSON.stringify(path),
    });
    const uses = h("span", { class: "uses" });
    made.mark = () =>
      fill(
        uses,
        form.uses(written).map((name) => h("span", { class: "tag use" }, name)),
        givenBy(written).map((name) => h("span", { class: "tag" }, name)),
      );
    made.mark();
    return [made, uses];
  };
  const usable = (path) => !path.some((key) => NO_PATH.test(String(key)));
  return tree(raw, {
    depth: 4,
    label: "Event",
    leaf: (path, value, text) => (!array && value !== null && usable(path) ? pickButton(path, text) : text),
    branch: (path, value) => (array && Array.isArray(value) && usable(path) ? pickButton(path, "Use this array") : null),
  });
}

/** Show next to each value which parameters use it. */
function markUses(place, form) {
  for (const pick of place.querySelectorAll(".pick")) pick.mark();
}

/** Return how a place in a sample is written, seen from one event if Events in finds its array in the sample. */
export function pathOf(path, raw, eventsPath) {
  const events = eventsPath
    .split(",")
    .map((one) => one.trim())
    .find((one) => one && Array.isArray(at(raw, one)));
  if (!events) return path.join(".");
  const steps = events.split(".");
  if (steps.every((step, index) => step === String(path[index]))) return path.slice(steps.length + 1).join(".") || path.join(".");
  return OF_REQUEST.includes(path[0]) ? path.join(".") : ["parent", ...path].join(".");
}

function at(value, path) {
  return path.split(".").reduce((found, step) => (found === null || typeof found !== "object" ? undefined : found[step]), value);
}

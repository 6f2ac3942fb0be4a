/* Health: how the instance is doing, second by second, and the faults that the sandbox can set. */

import { get, post } from "./api.js";
import { chart } from "./chart.js";
import { statusTag } from "./incident.js";
import { busy, button, clock, count, fill, h, messagePlace, panel, showMessage } from "./dom.js";

const SECONDS = 120;
const MAX_LOGS = 200;
const BURST = 60;
const AT_ONCE = 4; // a browser opens six connections to a host, and the events take one
const STOP_SECONDS = 5;
const UNPROVEN = 401;

/** Fill the section. */
export function healthView(section, app) {
  const state = h("div", { class: "state" });
  const history = h("ol", { class: "history" });
  const alerts = h("div", {});
  const ignored = h("div", {});
  const refusals = h("div", { class: "refusals scroll", tabindex: "0", role: "region", "aria-label": "The last refusals, newest first" });
  const charts = chartRow();
  const logs = logList();
  const faults = faultForm(app);
  let current = {};

  async function read() {
    const found = await get("/api/health");
    charts.replace(found.metrics);
    logs.replace(found.logs);
    faults.show(found.faults);
    showAlerts(found.alerts ?? []);
    showIgnored(found.ignored ?? []);
    fill(refusals, refusalList(found.refusals ?? []));
    fill(
      history,
      found.history
        .slice(-8)
        .reverse()
        .map(([time, text]) => h("li", {}, clock(time), " ", h("span", { class: "text" }, text || "Healthy"))),
    );
    showState(found);
  }

  function showIgnored(rules) {
    fill(
      ignored,
      rules.length
        ? h(
            "ul",
            { class: "history" },
            rules.map(({ rule, count: events }) => h("li", {}, h("code", {}, rule), ` ${count(events, "event")}`)),
          )
        : h("p", { class: "hint" }, "No rule of Ignore events where has ignored an event."),
    );
  }

  function showAlerts(open) {
    fill(
      alerts,
      open.length
        ? h(
            "ul",
            { class: "history" },
            open.map(({ identity, start, incident, name }) =>
              h(
                "li",
                {},
                h("a", { href: `#/requests/incident-${incident}` }, `#${incident}`),
                " ",
                h("span", { class: "text" }, name || identity),
                h("span", { class: "muted" }, " since ", h("span", { class: "text" }, start), name ? `, ${identity}` : null),
              ),
            ),
          )
        : h("p", { class: "hint" }, "No alert is open. An alert appears here some seconds after its start."),
    );
  }

  function showState(found) {
    current = { ...current, ...found };
    const [kind, text] = current.health ? ["warn", current.health] : ["ok", "Healthy"];
    fill(
      state,
      h(
        "p",
        { class: "health sentence-line", "data-state": kind },
        h("span", { class: "dot" }),
        h("span", { class: "text" }, text),
        current.since ? h("span", { class: "muted" }, " since ", clock(current.since)) : null,
      ),
      h(
        "p",
        { class: "facts" },
        h("span", {}, "Container ", h("strong", {}, current.container)),
        h("span", {}, "Server ", h("strong", {}, current.serverStopped ? "stopped" : "up")),
      ),
    );
  }

  const fail = (error) => fill(state, h("p", { class: "message", "data-kind": "bad" }, error.message));
  const readAgain = () => read().catch(fail);
  app.events.listen("health", readAgain);
  app.events.listen("context", readAgain); // where alerts, ignored events and refusals stand
  app.addEventListener("reset", readAgain);
  app.events.listen("metrics", charts.add);
  app.events.listen("log", logs.add);
  app.events.listen("faults", faults.show);
  app.events.whenOpen(readAgain);
  section.append(
    h(
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "two-panes" },
        panel(
          "Status",
          { id: "health-state" },
          h("div", { role: "status", "aria-live": "polite" }, state),
          h("details", { class: "fold" }, h("summary", {}, "What it reported before"), history),
        ),
        panel("Faults", { id: "health-faults" }, faults.element),
      ),
      charts.element,
      panel("Refused requests", { id: "health-refusals" }, refusals),
      panel("Open alerts", { id: "health-alerts" }, alerts),
      panel("Ignored events", { id: "health-ignored" }, ignored),
      panel("Log", { id: "health-log", tools: logs.tools }, logs.element),
    ),
  );
}

/** Return the last refusals, as generic-webhook-status lists them: what came, and what was expected. */
function refusalList(refusals) {
  if (!refusals.length) return h("p", { class: "hint" }, "No request was refused. A refusal appears here up to 10 seconds later.");
  return h(
    "ul",
    {},
    refusals.map(({ Time: time, Status: status, Address: address, Request: request, Sentence: sentence, Came: came, Expected: expected }) =>
      h(
        "li",
        {},
        h("p", { class: "facts" }, statusTag(status), h("code", { class: "text" }, request), h("span", {}, "from ", address), clock(time)),
        h("p", { class: "text" }, sentence),
        status === UNPROVEN
          ? h(
              "p",
              { class: "muted" },
              expected ? ["Expected ", h("code", {}, expected), "; "] : null,
              came ? [expected ? "came " : "Came ", h("code", {}, came)] : "nothing came that could be credentials",
            )
          : null,
      ),
    ),
  );
}

// ---- charts

function chartRow() {
  const rate = chart("Requests per second");
  const latency = chart("Answer time", { unit: " ms" });
  const batches = chart("Incidents per call", { kind: "bars" });
  const queue = chart("Waiting incidents");
  let metrics = [];

  function add(one) {
    metrics = [...metrics.filter(({ t }) => t < one.t), one].slice(-SECONDS);
    draw();
  }

  function replace(all) {
    metrics = all.slice(-SECONDS);
    draw();
  }

  function draw() {
    const padded = [...Array(SECONDS - metrics.length).fill(null), ...metrics];
    const of = (pick, without = 0) => padded.map((one) => (one ? pick(one) : without));
    const last = metrics.at(-1) ?? { requests: 0, batches: [], waiting: 0, inFlight: 0 };
    const answered = metrics.findLast(({ requests }) => requests);
    rate.draw(
      [of(({ requests }) => requests)],
      `${last.requests} now, ${Math.max(0, ...metrics.map(({ requests }) => requests))} at most`,
    );
    latency.draw(
      [of(({ p50, requests }) => (requests ? p50 : null), null), of(({ p99, requests }) => (requests ? p99 : null), null)],
      answered ? [key(0), `p50 ${ms(answered.p50)}, `, key(1), `p99 ${ms(answered.p99)}`] : "no answers yet",
    );
    batches.draw(
      [of((one) => Math.max(0, ...one.batches))],
      `${Math.max(0, ...metrics.flatMap((one) => one.batches))} at most, ${count(metrics.flatMap((one) => one.batches).length, "call")}`,
    );
    queue.draw([of(({ waiting }) => waiting)], `${last.waiting} waiting, ${count(last.inFlight, "request")} in progress`);
  }

  const element = h(
    "div",
    { class: "charts" },
    [rate, latency, batches, queue].map((one) => one.element),
  );
  return { element, add, replace };
}

/** Return the mark of a line of a chart. */
function key(number) {
  return h("span", { class: `line-key line-key-${number}`, "aria-hidden": "true" });
}

function ms(value) {
  return typeof value === "number" ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : "none";
}

// ---- the log

function logList() {
  const debug = h("input", { type: "checkbox", id: "log-debug" });
  const rows = h("tbody");
  const empty = h("p", { class: "hint" }, "Nothing is logged yet.");
  const table = h(
    "table",
    {},
    h("caption", { class: "hidden-text" }, "Log lines, newest first"),
    h(
      "thead",
      { class: "hidden-text" },
      h(
        "tr",
        {},
        ["Time", "Level", "Text"].map((title) => h("th", { scope: "col" }, title)),
      ),
    ),
    rows,
  );
  const element = h(
    "div",
    { class: "log scroll", "data-debug": "false", tabindex: "0", role: "region", "aria-label": "Log lines" },
    empty,
    table,
  );

  function row({ time, level, text }) {
    return h(
      "tr",
      { "data-level": level },
      h("td", {}, clock(time)),
      h("td", {}, h("span", { class: "level" }, level)),
      h("td", { class: "text" }, text),
    );
  }

  function add(line) {
    rows.prepend(row(line));
    while (rows.children.length > MAX_LOGS) rows.lastElementChild.remove();
    empty.hidden = true;
  }

  function replace(lines) {
    fill(rows, lines.slice(-MAX_LOGS).reverse().map(row));
    empty.hidden = lines.length > 0;
  }

  debug.addEventListener("change", () => (element.dataset.debug = String(debug.checked)));
  return { element, add, replace, tools: [h("label", { class: "inline" }, debug, " debug lines")] };
}

// ---- faults

function faultForm(app) {
  const state = h("p", { class: "fault-state", role: "status", "aria-live": "polite" });
  const message = messagePlace();
  const latency = h("input", { type: "number", id: "fault-latency", min: "0", max: "60000", step: "50", value: "500" });
  const refuse = h("input", { type: "number", id: "fault-refuse", min: "0", max: "10000", value: "30" });

  function show(faults) {
    const delay = faults.latencyMs?.createIncidents ?? 0;
    const refused = faults.fail?.createIncidents ?? 0;
    const active = [
      delay ? `createIncidents takes ${delay} ms` : "",
      refused ? (refused === 1 ? "the next call is refused" : `the next ${refused} calls are refused`) : "",
      faults.outage ? "the server is stopped" : "",
    ].filter(Boolean);
    state.dataset.active = String(active.length > 0);
    state.textContent = active.length ? `Active: ${active.join("; ")}.` : "No fault is active.";
  }

  const set = (value, done) => async () => {
    show(await post("/api/faults", value()));
    showMessage(message, done);
  };
  const action = (label, id, value, done, attributes = {}) => {
    const made = button(label, () => busy(made, message, set(value, done)), { id, ...attributes });
    return made;
  };
  const burst = button(`Send ${BURST} requests`, () => busy(burst, message, () => sendBurst(message)), { id: "burst" });
  const element = h(
    "div",
    { class: "faults" },
    state,
    h(
      "div",
      { class: "fault" },
      h("label", { for: latency.id }, "createIncidents takes"),
      latency,
      h("span", { class: "muted" }, "ms"),
      action("Set", "set-latency", () => ({ latencyMs: Number(latency.value) }), "", {
        "aria-label": "Set how long createIncidents takes",
      }),
    ),
    h(
      "div",
      { class: "fault" },
      h("label", { for: refuse.id }, "Refuse the next"),
      refuse,
      h("span", { class: "muted" }, "calls"),
      action("Set", "set-refuse", () => ({ refuseNext: Number(refuse.value) }), "", {
        "aria-label": "Set how many calls are refused",
      }),
    ),
    h(
      "div",
      { class: "actions" },
      action(`Stop the server for ${STOP_SECONDS} s`, "stop-server", () => ({ stopSeconds: STOP_SECONDS }), ""),
      action("Clear all", "clear-faults", () => ({ clear: true }), "", { class: "quiet" }),
      burst,
    ),
    message,
  );
  return { element, show };
}

/** Send the documentation's example many times, a few at once, and show how they were answered. */
async function sendBurst(message) {
  const { method, path, headers, body } = (await get("/api/examples"))[0];
  const statuses = new Map();
  let left = BURST;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      const { status } = await post("/api/send", { method, path, headers, body, sign: true });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      showMessage(message, `${BURST - left} sent`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  showMessage(
    message,
    `Answered: ${[...statuses].map(([status, number]) => `${count(number, "time")} ${status || "nothing"}`).join(", ")}.`,
    "ok",
  );
}

/* Requests: the list of them or of the incidents, live, next to the one that is open. */

import { get, post } from "./api.js";
import { incidentRow, requestRow } from "./incident.js";
import { announce, busy, button, confirmed, count, debounced, fill, h, messagePlace, showMessage, throttled } from "./dom.js";
import { addressOf, back, incidentDetail, isIncident, numbersOf, requestDetail, whatBecame } from "./opened.js";

const PAGE = 50;
const MAX_ROWS = 500; // Load older shows the rest again
const LIVE_MS = 500; // between two readings of a filtered list while requests arrive
const LISTS = {
  requests: {
    path: "/api/requests",
    row: requestRow,
    noun: "request",
    hint: "Open a request to see what arrived and what became of it.",
  },
  incidents: {
    path: "/api/incidents",
    row: incidentRow,
    noun: "incident",
    hint: "Open an incident to see its fields and where each came from.",
  },
};
const FILTERS = [
  ["all", "All"],
  ["2xx", "2xx: accepted"],
  ["4xx", "4xx: refused"],
  ["5xx", "5xx: failed"],
  ["duplicate", "Duplicates"],
];

/** Fill the section; returns a function that shows a request by its ID, or an incident by `incident-` and its ID. */
export function requestsView(section, app) {
  const detail = h("div", { class: "detail", id: "detail" });
  const list = requestList(app, () => open || showHint());
  const master = h("div", { class: "master" }, list.element, detail);
  section.append(master);
  let open = null;
  let shown = []; // IDs of the incidents next to the list

  function showHint() {
    fill(detail, h("p", { class: "hint padded" }, LISTS[list.kind()].hint));
  }

  async function show(id) {
    try {
      const found = await get(addressOf(id));
      if (open !== id) return;
      shown = numbersOf(found);
      fill(detail, isIncident(id) ? incidentDetail(found) : requestDetail(found));
    } catch (error) {
      if (open === id) fill(detail, back(id), h("p", { class: "message", role: "alert", "data-kind": "bad" }, error.message));
    }
  }

  /** Show what has become of the incidents; what the sender posted stays as it is. */
  async function showChanges(id) {
    const found = await get(addressOf(id));
    if (open !== id) return;
    if (isIncident(id)) fill(detail, incidentDetail(found));
    else detail.querySelector("#what-became").closest("section").replaceWith(whatBecame(found));
  }

  app.events.listen("incident", (changed) => {
    if (open && shown.includes(changed.id)) showChanges(open).catch((error) => announce(error.message));
  });
  return (id) => {
    master.dataset.open = String(Boolean(id));
    list.mark(id);
    if (id === open) return;
    open = id;
    shown = [];
    if (id) show(id);
    else showHint();
  };
}

// ---- the list

/** Return the list; `changed` is called when it lists something else. */
function requestList(app, changed) {
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "Search",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Search",
  });
  const status = h(
    "select",
    { id: "filter", "aria-label": "Status" },
    FILTERS.map(([value, label]) => h("option", { value }, label)),
  );
  const total = h("p", { class: "total muted", role: "status", "aria-live": "polite" });
  const rows = h("ul", { class: "rows", id: "rows", "aria-label": "Newest first" });
  const message = messagePlace();
  const older = button("Load older", () => busy(older, message, loadOlder), { class: "quiet", hidden: true });
  const forget = button("Forget all", () => busy(forget, message, forgetAll), { class: "quiet" });
  let kind = "requests";
  let number = 0;
  let asked = 0;
  let marked = "";
  let waiting = [];

  const filters = () => ({ q: search.value.trim(), status: kind === "requests" ? status.value : null });
  const narrowed = () => search.value.trim() !== "" || kind !== "requests" || status.value !== "all";
  const ask = (before = null) => get(LISTS[kind].path, { limit: PAGE, before, ...filters() });

  async function reload() {
    const turn = ++asked;
    const found = await ask();
    if (turn !== asked) return; // a later request is in progress
    waiting = [];
    number = found.total;
    const focused = rows.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    fill(rows, found[kind].map(item));
    if (focused) rows.querySelector(`[data-id="${focused}"]`)?.focus();
    older.hidden = !found.more;
    showTotal();
  }

  async function loadOlder() {
    const found = await ask(rows.lastElementChild?.firstElementChild.dataset.before);
    rows.append(...found[kind].map(item));
    older.hidden = !found.more;
    announce(`${count(found[kind].length, `older ${LISTS[kind].noun}`)} loaded`);
  }

  async function forgetAll() {
    const lost = "The requests, the incidents and the integration context are deleted. The parameters stay.";
    if (!(await confirmed("Forget all?", lost, "Forget all"))) return;
    await post("/api/reset");
    await reload();
    app.dispatchEvent(new Event("reset"));
    location.hash = "#/requests";
    showMessage(message, "Requests, incidents and the integration context are forgotten.", "ok");
  }

  function item(row) {
    const link = LISTS[kind].row(row);
    if (link.dataset.id === marked) link.setAttribute("aria-current", "true");
    return h("li", {}, link);
  }

  function showTotal() {
    total.textContent =
      number || narrowed() ? count(number, LISTS[kind].noun) : "No requests yet: send one from Try it, or from your own tool.";
  }

  /** Put the requests that arrived since the last frame on top. */
  function addWaiting() {
    const added = waiting.reverse().map(item);
    number += added.length;
    waiting = [];
    rows.prepend(...added);
    while (rows.children.length > MAX_ROWS) rows.lastElementChild.remove();
    if (number > rows.children.length) older.hidden = false;
    showTotal();
  }

  const fail = (error) => showMessage(message, error.message, "bad");
  const reloadSoon = debounced(() => reload().catch(fail), 200);
  const reloadLive = throttled(() => reload().catch(fail), LIVE_MS);
  app.events.listen("request", (row) => {
    if (narrowed()) return reloadLive();
    waiting.push(row);
    if (waiting.length === 1) setTimeout(() => waiting.length && addWaiting(), 50);
  });
  app.events.listen("incident", () => kind === "incidents" && reloadLive());
  app.events.listen("more", reloadLive); // there were too many to report them one by one
  app.events.whenOpen(() => reload().catch(fail));
  app.addEventListener("reset", reloadSoon);
  search.addEventListener("input", reloadSoon);
  status.addEventListener("change", reloadSoon);
  rows.addEventListener("keydown", (event) => moveFocus(event, rows));
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && rows.firstElementChild) {
      rows.firstElementChild.firstElementChild.focus();
      event.preventDefault();
    }
  });
  function show(other) {
    kind = other;
    status.hidden = kind !== "requests";
    changed();
    reload().catch(fail);
  }

  function mark(id) {
    marked = id;
    for (const link of rows.querySelectorAll("a")) {
      if (link.dataset.id === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  const option = (name, label) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "list", checked: name === kind, on: { change: () => show(name) } }),
      h("span", {}, label),
    );
  const choice = h(
    "fieldset",
    { class: "switch" },
    h("legend", { class: "hidden-text" }, "List"),
    option("requests", "Requests"),
    option("incidents", "Incidents"),
  );
  const element = h(
    "div",
    { class: "list panel" },
    h("div", { class: "list-head" }, choice, forget),
    h("div", { class: "list-tools" }, search, status),
    total,
    message,
    rows,
    older,
  );
  return { element, mark, kind: () => kind };
}

/** Move the focus between rows with the arrow keys, Home and End. */
function moveFocus(event, rows) {
  const current = event.target.closest("li");
  if (!current) return;
  const goal = {
    ArrowDown: current.nextElementSibling,
    ArrowUp: current.previousElementSibling,
    Home: rows.firstElementChild,
    End: rows.lastElementChild,
  }[event.key];
  if (!goal) return;
  event.preventDefault();
  goal.firstElementChild.focus();
}

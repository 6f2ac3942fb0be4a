/* The page's frame: views by hash, the header, and what the sandbox reports by itself. */

import { Events, get } from "./api.js";
import { announce, copyButton, copyWith, fill, h, openDialog } from "./dom.js";
import { healthView } from "./health.js";
import { instanceView } from "./instance.js";
import { mappingView } from "./mapping.js";
import { requestsView } from "./requests.js";
import { tryView } from "./try.js";

const VIEWS = {
  instance: ["Instance", instanceView],
  try: ["Try it", tryView],
  requests: ["Requests", requestsView],
  mapping: ["Mapping", mappingView],
  health: ["Health", healthView],
};

/** What the views share: the instance as last read, and the events. */
class App extends EventTarget {
  events = new Events();
  instance = null;

  /** Read the instance again and notify the views with an `instance` event. */
  async readInstance() {
    this.instance = await get("/api/instance");
    document.getElementById("address").textContent = this.instance.url;
    document.getElementById("open").hidden = !this.instance.isOpen;
    this.dispatchEvent(new Event("instance"));
    return this.instance;
  }

  /** Return the parameter of a name, undefined if the integration has none. */
  parameter(name) {
    return this.instance?.parameters.find((parameter) => parameter.name === name);
  }

  /** Return all values of the instance with some changed; secrets that did not change are left out. */
  paramsWith(changes) {
    const values = {};
    for (const { name, kind, value } of this.instance.parameters) if (kind !== "secret") values[name] = value;
    return { ...values, ...changes };
  }
}

const app = new App();
const shown = new Map();

/** Show the view that the hash names; the rest of the hash is the view's own. */
function route() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close(); // it belongs to the view before
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  const known = Object.hasOwn(VIEWS, name) ? name : "try";
  if (!shown.has(known)) shown.set(known, build(known));
  for (const [other, { section }] of shown) section.hidden = other !== known;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[known][0]} - Generic Webhook sandbox`;
  shown.get(known).show?.(rest[0] ?? "");
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** Make a view's section; the view fills it and returns a function to call whenever it is shown. */
function build(name) {
  const [title, view] = VIEWS[name];
  const section = h(
    "section",
    { class: "view", id: `view-${name}`, "aria-labelledby": `title-${name}` },
    h("h2", { class: "hidden-text", id: `title-${name}` }, title),
  );
  document.getElementById("main").append(section);
  return { section, show: view(section, app) };
}

// ---- the header

let shownStatus = "";

/** Return the state and its words for what /api/health and its events report. */
function statusOf({ health, container, serverStopped }) {
  if (container === "restarting") return ["wait", "Restarting"];
  if (container === "ended") return ["bad", "The container has ended"];
  if (serverStopped) return ["bad", "Server stopped"];
  return health ? ["warn", "Not healthy"] : ["ok", "Running"];
}

function showStatus(state, text) {
  const place = document.getElementById("status");
  if (shownStatus === text) return;
  shownStatus = text;
  place.dataset.state = state;
  document.getElementById("status-text").textContent = text;
}

/** Show the URL for senders here and in each product. */
function openUrls() {
  if (!app.instance) return;
  const rows = [{ product: "this sandbox", url: app.instance.url }, ...app.instance.productUrls];
  openDialog(
    "URL for senders",
    h(
      "dl",
      { class: "urls" },
      rows.map(({ product, url, note }) => [
        h("dt", {}, product, note ? h("span", { class: "muted" }, `, ${note}`) : null),
        h("dd", {}, h("code", {}, url), copyButton(() => url, `Copy the URL: ${product}`)),
      ]),
    ),
  );
}

async function readStatus() {
  try {
    showStatus(...statusOf(await get("/api/health")));
  } catch (error) {
    showStatus("bad", "No connection");
    announce(error.message);
  }
}

async function start() {
  document
    .getElementById("copy-address")
    .addEventListener("click", (event) => copyWith(event.currentTarget, () => app.instance?.url ?? ""));
  document.getElementById("product-urls").addEventListener("click", openUrls);
  app.events.listen("health", (health) => showStatus(...statusOf(health)));
  app.events.listen("lost", () => showStatus("bad", "No connection"));
  app.events.listen("open", readStatus);
  app.events.connect();
  try {
    await app.readInstance();
  } catch (error) {
    fill(document.getElementById("main"), h("p", { class: "panel message", role: "alert", "data-kind": "bad" }, error.message));
    return;
  }
  addEventListener("hashchange", route);
  route();
}

start();

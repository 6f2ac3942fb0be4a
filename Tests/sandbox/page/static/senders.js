/* The rows of the known senders: what each reads, and how the end of an alert is reported. */

import { get } from "./api.js";
import { announce, count, fill, h, panel } from "./dom.js";

const READS = [
  ["when", "Recognized by"],
  ["events", "Events in"],
  ["name", "Name"],
  ["severity", "Severity"],
  ["words", "Severity words"],
  ["occurred", "Time"],
  ["identity", "Identity"],
  ["closed", "Ended by"],
  ["link", "Link"],
];

/** Return a panel with all rows, by category, and a search field. */
export function sendersPanel() {
  const search = h("input", {
    type: "search",
    id: "senders-search",
    placeholder: "Search, for example Okta",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Search the known senders",
  });
  const total = h("p", { class: "muted", role: "status", "aria-live": "polite" });
  const list = h("div", { class: "senders scroll", tabindex: "0", role: "region", "aria-label": "Known senders by category" });
  let senders = [];

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = senders.filter((row) => {
      const text = `${row.title} ${row.id} ${row.category}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    total.textContent = found.length ? count(found.length, "format") : "No known sender has these words.";
    fill(
      list,
      [...Map.groupBy(found, (row) => row.category)].map(([category, rows]) => [
        h("h4", {}, category || "Other"),
        h("ul", {}, rows.map((row) => h("li", {}, senderRow(row)))),
      ]),
    );
  }

  search.addEventListener("input", draw);
  get("/api/senders")
    .then((found) => {
      ({ senders } = found);
      draw();
    })
    .catch((error) => announce(error.message));
  return panel(
    "Known senders",
    { id: "try-senders" },
    h("p", { class: "hint" }, "What the instance reads by itself where Recognize senders is on. Open a row to see its paths."),
    search,
    total,
    list,
  );
}

/** Return a row that opens; what it reads is written when it does. */
function senderRow(row) {
  const reads = h("dl", {});
  const ends = row.closed ? ["ended by ", h("code", {}, row.closed)] : "reports no end";
  const details = h("details", {}, h("summary", {}, row.title, " ", h("span", { class: "muted" }, ends)), reads);
  details.addEventListener("toggle", () => {
    const shown = READS.filter(([field]) => row[field]).map(([field, label]) => [
      h("dt", {}, label),
      h("dd", {}, h("code", {}, row[field])),
    ]);
    if (details.open && !reads.firstChild) fill(reads, shown);
  });
  return details;
}

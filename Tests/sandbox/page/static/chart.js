/* Small charts of the last two minutes, in SVG, with the current numbers as words. */

import { h } from "./dom.js";

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 56;

function svg(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** Return a figure and `draw(series, words)`; a series is an array of numbers or nulls, the newest last. */
export function chart(title, { kind = "line", unit = "" } = {}) {
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    class: "chart",
    "aria-hidden": "true",
  });
  const words = h("p", { class: "numbers" }, "no data yet");
  const top = h("span", {});
  const element = h(
    "figure",
    { class: "panel figure" },
    h("figcaption", {}, h("h3", {}, title), words),
    h("p", { class: "axis", "aria-hidden": "true" }, top),
    drawing,
    h("p", { class: "axis", "aria-hidden": "true" }, h("span", {}, "2 min ago"), h("span", {}, "now")),
  );

  function draw(series, text) {
    const highest = Math.max(1, ...series.flat().filter((value) => value !== null));
    const limit = rounded(highest);
    top.textContent = `${limit.toLocaleString("en")}${unit}`;
    words.replaceChildren(...[text].flat());
    drawing.replaceChildren(
      svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "base" }),
      ...series.flatMap((values, index) => (kind === "bars" ? bars(values, limit) : lines(values, limit, index))),
    );
  }

  return { element, draw };
}

/** Return the next number of 1, 2 or 5 times a power of ten. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((limit) => limit >= value);
}

function spot(values, index, limit) {
  const x = values.length > 1 ? (index / (values.length - 1)) * WIDTH : WIDTH;
  return [x, HEIGHT - 1 - (values[index] / limit) * (HEIGHT - 4)];
}

/** Return the paths of a line, which is interrupted where there is no value; the first line is filled. */
function lines(values, limit, number) {
  let path = "";
  let open = false;
  values.forEach((value, index) => {
    if (value === null) {
      open = false;
      return;
    }
    const [x, y] = spot(values, index, limit);
    path += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (!open && (index === values.length - 1 || values[index + 1] === null)) path += "h0.1"; // a lone value is a dot
    open = true;
  });
  const line = svg("path", {
    d: path || "M0 0",
    class: `series series-${number}`,
    fill: "none",
    "vector-effect": "non-scaling-stroke",
  });
  return values.includes(null) || number
    ? [line]
    : [svg("path", { d: `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`, class: `area area-${number}` }), line];
}

function bars(values, limit) {
  const width = WIDTH / Math.max(values.length, 1);
  return values.flatMap((value, index) => {
    if (!value) return [];
    const height = Math.max(1, (value / limit) * (HEIGHT - 4));
    return [
      svg("rect", {
        x: (index * width).toFixed(2),
        y: (HEIGHT - 1 - height).toFixed(2),
        width: Math.max(width - 0.4, 0.8).toFixed(2),
        height: height.toFixed(2),
        class: "bar",
      }),
    ];
  });
}

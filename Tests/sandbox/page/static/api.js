/* The sandbox's API. An error's message is the sentence of the sandbox. */

/** Return what the sandbox answers to a GET. */
export function get(path, parameters = {}) {
  const kept = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(kept).toString();
  return ask(query ? `${path}?${query}` : path, { headers: { Accept: "application/json" } });
}

/** Return what the sandbox answers to a POST of a JSON value. */
export function post(path, value = {}) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
}

/** Return whether a parameter of the instance has another value than its default. */
export function isChanged({ kind, value, isSet: hasSecret, default: usual }) {
  if (kind === "credentials") return Boolean(value.identifier || hasSecret);
  return kind === "secret" ? hasSecret : String(value ?? "") !== String(usual ?? "");
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store", redirect: "error" });
  } catch {
    throw new Error("The sandbox does not answer. Is it still running in its terminal?");
  }
  const text = await answer.text();
  const value = parsed(text);
  if (!answer.ok) throw new Error(value?.error ?? `The sandbox answered ${answer.status}: ${text.slice(0, 200)}`);
  return value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const NAMES = ["request", "more", "incident", "context", "health", "log", "metrics", "faults"];

/** Server-sent events as events of this object; "open" for every new connection, "lost" when one is gone. */
export class Events extends EventTarget {
  #isOpen = false;

  /** Connect, and again whenever the connection is lost. */
  connect() {
    const source = new EventSource("/api/events");
    source.addEventListener("open", () => {
      this.#isOpen = true;
      this.#pass("open");
    });
    source.addEventListener("error", () => {
      this.#isOpen = false;
      this.#pass("lost");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      source.close();
      setTimeout(() => this.connect(), 2000);
    });
    for (const name of NAMES) source.addEventListener(name, (event) => this.#pass(name, JSON.parse(event.data)));
  }

  /** Call `listener` with the value of each event of a name. */
  listen(name, listener) {
    this.addEventListener(name, (event) => listener(event.detail));
  }

  /** Call `listener` now if there is a connection, and for every new one: data may have changed meanwhile. */
  whenOpen(listener) {
    if (this.#isOpen) listener();
    this.addEventListener("open", () => listener());
  }

  #pass(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// A classic script, so that the theme is set before the page is painted for the first time.
"use strict";

(() => {
  const THEMES = ["auto", "light", "dark"];

  function stored() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // a browser may deny pages its storage
    }
  }

  function use(theme) {
    document.documentElement.dataset.theme = theme;
    const name = document.getElementById("theme-name");
    if (name) name.textContent = theme;
  }

  function next() {
    const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    use(theme);
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // the theme lasts as long as the page
    }
  }

  const theme = THEMES.includes(stored()) ? stored() : "auto";
  use(theme);
  document.addEventListener("DOMContentLoaded", () => {
    use(theme);
    document.getElementById("theme").addEventListener("click", next);
  });
})();

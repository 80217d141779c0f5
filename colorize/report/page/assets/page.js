"use strict";
// What the scripts of all sections share. A section's script calls `page.section`.
const page = {
  // Run `start(root, data)` for the section with this id, with the data that Python wrote for it.
  section(id, start) {
    document.addEventListener("DOMContentLoaded", () => {
      const root = document.getElementById(id);
      if (!root) return;
      const block = document.getElementById(`${id}-data`);
      try {
        start(root, block ? JSON.parse(block.textContent) : null);
        root.dataset.state = "ready";
      } catch (error) {
        root.append(page.element("p", { class: "note", role: "alert" }, `This section cannot be shown: ${error.message}`));
        root.dataset.state = "failed";
        console.error(error);
      }
    });
  },

  // The first click on a heading puts the first word or the best value at the top. The vendored script, which sorts
  // afterwards, reads the class `asc`.
  sortBestFirst() {
    document.addEventListener("click", (event) => {
      const heading = event.target.closest("th");
      const table = heading && heading.closest("table.sortable");
      if (table) table.classList.toggle("asc", heading.dataset.first !== "highest");
    }, true);
  },

  // An element with attributes and children. Strings become text, never HTML.
  element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  },

  // A labelled <select>; `options` is a list of [value, text]. `change` receives the value.
  select(label, options, value, change) {
    const list = page.element("select", {}, ...options.map(([key, text]) => page.element("option", { value: key }, text)));
    list.value = value;
    list.addEventListener("change", () => change(list.value));
    return page.element("label", { class: "control" }, page.element("span", {}, label), list);
  },

  // The value of a CSS variable, such as "--ink".
  color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },

  // Run `draw` now, and again when the color scheme changes.
  onScheme(draw) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  },
};
page.sortBestFirst();

"use strict";
// Table 1: hide the rows without training. The vendored script sorts the tables.
page.section("table", (root) => {
  const box = root.querySelector("[data-baselines]");
  box.addEventListener("change", () => {
    for (const row of root.querySelectorAll(".untrained")) row.hidden = !box.checked;
  });
});

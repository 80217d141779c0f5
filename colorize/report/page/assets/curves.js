"use strict";
// The training curves: one line per model for one data set and one quantity.
page.section("curves", (root, data) => {
  const shown = { dataset: 0, quantity: data.quantities[0][0] };
  const chart = root.querySelector("[data-chart]");

  function draw() {
    const runs = data.curves[shown.dataset];
    const steps = [...new Set(runs.flatMap((run) => run.steps))].sort((a, b) => a - b);
    const series = runs.map((run, n) => {
      const at = new Map(run.steps.map((step, i) => [step, run[shown.quantity] && run[shown.quantity][i]]));
      const column = (i) => steps.map((step) => (at.get(step) ? at.get(step)[i] : null));
      return { label: data.models[n], look: n, values: column(0), low: column(1), high: column(2), marked: run.best };
    }).filter((one) => one.values.some((value) => value !== null));
    const title = data.quantities.find(([name]) => name === shown.quantity)[1];
    const noteText = (one, i) => (data.seeds > 1 && one.values[i] !== null ? ` (${page.digits(one.low[i])} to ${page.digits(one.high[i])})` : "");
    page.lineChart(chart, { x: steps, xLabel: "step", yLabel: title, series, hasBand: data.seeds > 1, noteText });
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  root.querySelector("[data-controls]").append(
    page.select("Trained on", data.datasets.map((title, n) => [n, title]), shown.dataset, set("dataset")),
    page.select("Quantity", data.quantities, shown.quantity, set("quantity")),
  );
  draw();
});

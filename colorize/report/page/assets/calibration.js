"use strict";
// Reliability and temperature curves of the classifiers.
page.section("calibration", (root, data) => {
  const shown = { pair: 0, quantity: data.quantities[0][0] };
  const percent = (share) => (share > 0 && share < 0.001 ? "less than 0.1 %" : `${page.digits(Number((100 * share).toFixed(1)))} %`);

  function draw() {
    const all = data.reliability[shown.pair], [limits] = all;
    const count = Math.max(2, ...all.flatMap((rows) => rows.map((row, i) => (row[2] === null ? 0 : i + 1)))); // the rest has no pixels
    const x = limits.slice(0, count).map(([low, high]) => (low + high) / 2);
    const series = all.map((rows, n) => ({
      label: data.models[n][0], look: data.models[n][1], values: rows.slice(0, count).map((row) => row[2]),
      shares: rows.map((row) => row[3]), sizes: rows.map((row) => 2 + 12 * Math.sqrt(row[3])),
    }));
    series.push({ label: "probabilities that fit", values: x, isReference: true });
    page.lineChart(root.querySelector("[data-reliability]"), {
      x, xLabel: "predicted probability", yLabel: "accuracy", series, range: [0, 1], xRange: [0, limits[count - 1][1]], isJoined: false,
      xText: (i) => `${page.digits(limits[i][0])} to ${page.digits(limits[i][1])}`,
      noteText: (one, i) => ` (${percent(one.shares[i])} of the pixels)`,
    });
    drawTemperature();
  }

  function drawTemperature() {
    const curves = data.temperatures[shown.pair], x = curves[0].temperature;
    const series = curves.map((one, n) => ({ label: data.models[n][0], look: data.models[n][1], values: one[shown.quantity] }));
    const title = data.quantities.find(([name]) => name === shown.quantity)[1];
    page.lineChart(root.querySelector("[data-temperature]"), { x, xLabel: "temperature T", yLabel: title, series });
  }

  root.querySelector("[data-controls]").append(page.select("Trained on → tested on", data.pairs.map((title, n) => [n, title]), shown.pair,
    (value) => { shown.pair = value; draw(); }));
  root.querySelector("[data-controls2]").append(page.select("Quantity", data.quantities, shown.quantity,
    (value) => { shown.quantity = value; drawTemperature(); }));
  draw();
});

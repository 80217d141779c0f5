"use strict";
// Reliability and temperature curves of the classifiers.
page.section("calibration", (root, data) => {
  const shown = { pair: 0, quantity: data.quantities[0][0] };

  function draw() {
    const reliability = data.reliability[shown.pair], x = reliability[0].map(([middle]) => middle);
    const lines = reliability.map((rows, n) => ({ label: data.models[n][0], look: data.models[n][1], values: rows.map((row) => row[1]) }));
    lines.push({ label: "probabilities that fit", look: 7, values: x });
    page.lineChart(root.querySelector("[data-reliability]"), { x, xLabel: "predicted probability", yLabel: "accuracy", series: lines, range: [0, 1] });
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

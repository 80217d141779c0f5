"use strict";
// The failures of one model on one data set at a time; its pictures are decoded when it is shown.
page.section("failures", (root, data) => {
  const shown = { target: 0, source: 0, model: 0 };
  const runs = [...root.querySelectorAll("[data-run]")];

  function show() {
    const index = (shown.target * data.sources.length + shown.source) * data.models.length + shown.model;
    runs.forEach((run, n) => { run.hidden = n !== index; });
    const { gray, truth, side } = data.targets[shown.target];
    for (const holder of runs[index].querySelectorAll("[data-own]:empty")) {
      const [shared, own] = [Number(holder.dataset.shared), Number(holder.dataset.own)];
      const cut = (address, n) => page.picture(address, n, side, data.columns);
      holder.append(cut(gray, shared), cut(data.predicted[index], own), cut(truth, shared));
    }
  }

  const set = (name) => (value) => { shown[name] = Number(value); show(); };
  const numbered = (titles) => titles.map((title, n) => [n, title]);
  root.querySelector("[data-controls]").append(
    page.select("Test images of", numbered(data.targets.map((target) => target.title)), 0, set("target")),
    page.select("Trained on", numbered(data.sources), 0, set("source")),
    page.select("Model", numbered(data.models), 0, set("model")),
  );
  show();
});

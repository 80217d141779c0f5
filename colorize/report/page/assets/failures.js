"use strict";
// The failures of one model at a time; its pictures are decoded when it is shown.
page.section("failures", (root, data) => {
  const runs = [...root.querySelectorAll("[data-run]")], drawn = new Set();

  async function show(index) {
    runs.forEach((run, n) => { run.hidden = n !== index; });
    if (drawn.has(index)) return;
    drawn.add(index);
    const { side } = data.runs[index];
    for (const name of ["gray", "predicted", "truth"]) {
      const sprite = new Image();
      sprite.src = data.runs[index][name];
      await sprite.decode();
      for (const holder of runs[index].querySelectorAll("[data-number]")) {
        const n = Number(holder.dataset.number), canvas = page.element("canvas", { width: side, height: side });
        canvas.getContext("2d").drawImage(sprite, (n % data.columns) * side, Math.floor(n / data.columns) * side, side, side, 0, 0, side, side);
        holder.append(canvas);
      }
    }
  }

  root.querySelector("[data-controls]").append(page.select("Model", runs.map((run, n) => [n, run.dataset.title]), 0, (value) => show(Number(value))));
  show(0);
});

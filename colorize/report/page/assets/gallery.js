"use strict";
// The pictures: cards with a before/after slider, and a dialog with the predictions of all models.
page.section("gallery", (root, data) => {
  const shown = { target: 0, source: 0, model: data.models.length > 3 ? 3 : 0, view: data.isComparison ? "before" : "prediction", decoding: "mode", sort: "", first: "high" };
  const views = [["prediction", "input → prediction"], ["truth", "prediction → true colors"], ["entropy", "prediction → entropy map"]];
  if (data.isComparison) views.unshift(["before", "run before → run after (mode)"]);
  const decodings = [["mode", "mode"], ["annealed", "annealed mean"]];
  const cards = root.querySelector("[data-cards]"), dialog = root.querySelector("[data-dialog]"), note = root.querySelector("[data-note]");
  const loaded = new Map();

  // The decoded sprite with this address; each is decoded once.
  function load(address) {
    if (!loaded.has(address)) {
      const image = new Image();
      image.src = address;
      loaded.set(address, image.decode().then(() => image));
    }
    return loaded.get(address);
  }

  // A canvas with picture `n` of a sprite, whose pictures have `side` pixels.
  function picture(address, n, side, label) {
    const canvas = page.element("canvas", { width: side, height: side, role: label ? "img" : null, "aria-label": label || null, "aria-hidden": label ? null : "true" });
    load(address).then((sprite) => {
      const [x, y] = [n % data.columns, Math.floor(n / data.columns)];
      canvas.getContext("2d").drawImage(sprite, x * side, y * side, side, side, 0, 0, side, side);
    });
    return canvas;
  }

  function draw() {
    const target = data.targets[shown.target], run = data.runs[shown.target][shown.source][shown.model];
    const view = run[shown.view] || shown.view === "truth" ? shown.view : "prediction";
    const decoding = run[shown.decoding] ? shown.decoding : "mode";
    const [, title] = data.measures.find(([name]) => name === (shown.sort || "l2"));
    const values = run.measures[shown.sort || "l2"];
    const order = target.images.map((_, n) => n);
    if (shown.sort && values) order.sort((a, b) => (shown.first === "high" ? values[b] - values[a] : values[a] - values[b]));
    note.textContent = !run.entropy && (shown.view === "entropy" || shown.decoding !== "mode") ? `${data.models[shown.model]} predicts colors and no probabilities: it has no entropy map and one decoding.`
      : shown.sort && !values ? `${data.models[shown.model]} does not have this measure.` : "";
    cards.replaceChildren(...order.map((n) => card(target, run, n, view, decoding, values ? `${title} ${page.digits(values[n])}` : "")));
  }

  function card(target, run, n, view, decoding, text) {
    const [key, name] = target.images[n];
    const prediction = () => picture(run[decoding], n, target.side);
    const [before, after, labels] = {
      prediction: () => [picture(target.gray, n, target.side), prediction(), "input on the left, prediction on the right"],
      truth: () => [prediction(), picture(target.truth, n, target.side), "prediction on the left, true colors on the right"],
      entropy: () => [prediction(), picture(run.entropy, n, run.entropySide), "prediction on the left, entropy map on the right"],
      before: () => [picture(run.before, n, target.side), picture(run.mode, n, target.side), "run before on the left, run after on the right"],
    }[view]();
    const enlarge = page.element("button", { type: "button" }, "Enlarge", page.element("span", { class: "hidden" }, ` image ${key}`));
    enlarge.addEventListener("click", () => open(target, n));
    return page.element("figure", { class: "card" }, slider(before, after, `Image ${key}: ${labels}`),
      page.element("figcaption", {}, page.element("span", {}, text), page.element("bdi", { class: "name", title: name }, `${key} · ${name}`), enlarge));
  }

  // Two pictures, one above the other; the slider moves the edge between them.
  function slider(before, after, label) {
    const range = page.element("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": label });
    const holder = page.element("div", { class: "slider" }, before, after, range);
    const move = () => {
      after.style.clipPath = `inset(0 0 0 ${range.value}%)`;
      holder.style.setProperty("--edge", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${range.value} % of the left picture`);
    };
    range.addEventListener("input", move);
    move();
    return holder;
  }

  function open(target, n) {
    const figure = (canvas, text) => page.element("figure", {}, canvas, page.element("figcaption", {}, text));
    const [key, name] = target.images[n];
    const parts = [figure(picture(target.gray, n, target.side, "input"), "input"), figure(picture(target.truth, n, target.side, "true colors"), "true colors")];
    data.runs[shown.target].forEach((models, source) => models.forEach((run, model) => {
      const text = `${data.models[model]}, trained on ${data.sources[source]}: L2 ${page.digits(run.measures.l2[n])}`;
      const address = run[shown.decoding] || run.mode;
      parts.push(figure(picture(address, n, target.side, text), text));
      if (source === shown.source && model === shown.model && run.entropy) parts.push(figure(picture(run.entropy, n, run.entropySide, "entropy map"), `entropy map, mean ${page.digits(run.measures.entropy[n])} nats`));
    }));
    const close = page.element("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(page.element("div", { class: "bar" }, page.element("h3", {}, "Image ", page.element("bdi", {}, `${key} · ${name}`)), close), page.element("div", { class: "large" }, ...parts));
    dialog.showModal();
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  const numbered = (titles) => titles.map((title, n) => [n, title]);
  root.querySelector("[data-controls]").append(
    page.select("Test images of", numbered(data.targets.map((target) => target.title)), shown.target, set("target")),
    page.select("Trained on", numbered(data.sources), shown.source, set("source")),
    page.select("Model", numbered(data.models), shown.model, set("model")),
    page.select("Colors from", decodings, shown.decoding, set("decoding")),
    page.select("Compare", views, shown.view, set("view")),
    page.select("Sort by", [["", "order of the split"], ...data.measures], shown.sort, set("sort")),
    page.select("First", [["high", "highest"], ["low", "lowest"]], shown.first, set("first")),
  );
  draw();
});

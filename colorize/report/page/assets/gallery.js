"use strict";
// The pictures: cards with a before/after slider, and a dialog with the predictions of all models for one image.
page.section("gallery", (root, data) => {
  const shown = { target: 0, source: 0, model: data.first, view: data.isComparison ? "before" : "prediction", decoding: "mode", sort: "", first: "high" };
  const views = [["prediction", "input → prediction"], ["truth", "prediction → true colors"], ["entropy", "prediction → entropy map"]];
  if (data.isComparison) views.unshift(["before", "run before → run after (mode)"]);
  const find = (name) => root.querySelector(`[data-${name}]`);
  const cards = find("cards"), dialog = find("dialog"), note = find("note"), scale = page.entropyScale(data.scale);
  let order = [], place = 0; // the images in the order of the cards, and which of them the dialog shows
  cards.before(scale);

  const picture = (address, n, side, label) => page.picture(address, n, side, data.columns, label);
  const chosenRun = () => data.runs[shown.target][shown.source][shown.model];
  const decoding = () => (shown.view === "before" ? "mode" : shown.decoding); // only the mode of the run before is here
  const prediction = (run) => run.pictures[decoding()] || run.pictures.mode;
  // The values of a measure for all images. Measures of distributions do not depend on the decoding.
  const valuesOf = (run, measure) => (run.measures[decoding()] || {})[measure] || run.measures.mode[measure];

  function text(measure, value) {
    const [, title, , decimals] = data.measures.find(([name]) => name === measure);
    return `${title} ${value.toFixed(decimals)}${measure === "entropy" ? `: ${page.colors(value)}` : ""}`;
  }

  function draw() {
    const run = chosenRun(), values = valuesOf(run, shown.sort || "l2");
    order = data.targets[shown.target].images.map((_, n) => n);
    if (shown.sort && values) order.sort((a, b) => (shown.first === "high" ? values[b] - values[a] : values[a] - values[b]));
    const problems = [];
    if (!run.entropy && (shown.view === "entropy" || decoding() !== "mode")) problems.push(`${data.models[shown.model]} predicts colors and no probabilities: it has no entropy map and only one decoding.`);
    if (shown.view === "before" && !run.before) problems.push("The run before has no predictions of these images.");
    if (!values) problems.push(`${data.models[shown.model]} does not have this measure.`);
    note.textContent = problems.join(" ");
    const view = { before: run.before, entropy: run.entropy, truth: true }[shown.view] ? shown.view : "prediction";
    scale.hidden = view !== "entropy";
    cards.replaceChildren(...order.map((n, at) => card(run, n, at, view, values ? text(shown.sort || "l2", values[n]) : "")));
  }

  function card(run, n, at, view, measured) {
    const target = data.targets[shown.target], [key, name, path, group] = target.images[n];
    const [before, after, labels] = {
      prediction: () => [picture(target.gray, n, target.side), picture(prediction(run), n, target.side), "input on the left, prediction on the right"],
      truth: () => [picture(prediction(run), n, target.side), picture(target.truth, n, target.side), "prediction on the left, true colors on the right"],
      entropy: () => [picture(prediction(run), n, target.side), picture(run.entropy, n, run.entropySide), "prediction on the left, entropy map on the right"],
      before: () => [picture(run.before, n, target.side), picture(run.pictures.mode, n, target.side), "run before on the left, run after on the right"],
    }[view]();
    const enlarge = page.element("button", { type: "button" }, "Enlarge", page.element("span", { class: "hidden" }, ` image ${key}`));
    enlarge.addEventListener("click", () => { open(at); dialog.showModal(); });
    return page.element("figure", { class: "card" }, slider(before, after, `Image ${key}: ${labels}`),
      page.element("figcaption", {}, page.element("strong", {}, measured), page.element("bdi", { class: "key" }, `key ${key}${group ? ` · ${group}` : ""}`), page.element("bdi", { class: "name", title: path }, name), enlarge));
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

  // Four parts, so that figures beside each other are in line.
  function figure(title, image, map = page.element("span"), values = page.element("span")) {
    return page.element("figure", {}, page.element("figcaption", {}, title), image, map, values);
  }

  // Fill the dialog with the image at this place of the order.
  function open(at) {
    place = at;
    const n = order[at], target = data.targets[shown.target], [key, , path, group] = target.images[n];
    find("heading").replaceChildren(`Image ${key} of `, page.element("bdi", {}, target.title));
    for (const button of dialog.querySelectorAll("[data-step]")) button.disabled = !(at + Number(button.dataset.step) in order);
    const rows = [
      page.element("p", { class: "note" }, `Decoding: ${data.decodings.find(([name]) => name === decoding())[1]}. `, group ? "Group: " : "", page.element("bdi", {}, group), group ? ". " : "", "File: ", page.element("bdi", {}, path)),
      page.element("div", { class: "large" }, figure("Input", picture(target.gray, n, target.side, "input")), figure("True colors", picture(target.truth, n, target.side, "true colors"))),
    ];
    const lowest = Math.min(...data.runs[shown.target].flat().map((run) => valuesOf(run, "l2")[n]));
    data.runs[shown.target].forEach((models, source) => rows.push(
      page.element("h4", {}, "Trained on ", page.element("bdi", {}, data.sources[source])),
      page.element("div", { class: "large" }, ...models.map((run, model) => large(run, n, target, data.models[model], lowest))),
    ));
    if (data.runs[shown.target].some((models) => models.some((run) => run.entropy))) rows.push(page.entropyScale(data.scale));
    find("large").replaceChildren(...rows);
  }

  // The prediction of a model, its entropy map and its numbers.
  function large(run, n, target, model, lowest) {
    const measures = [...new Set(["l2", "entropy", shown.sort])].filter((name) => name && valuesOf(run, name));
    const mark = (name) => (name === "l2" && valuesOf(run, name)[n] === lowest ? " (lowest)" : "");
    const values = measures.map((name) => page.element("li", {}, text(name, valuesOf(run, name)[n]) + mark(name)));
    const map = run.entropy ? picture(run.entropy, n, run.entropySide, `entropy map of ${model}`) : undefined;
    return figure(model, picture(prediction(run), n, target.side, `prediction of ${model}`), map, page.element("ul", { class: "values" }, ...values));
  }

  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      open(place + Number(button.dataset.step));
      if (button.disabled) find("heading").focus();
    });
  }
  find("close").addEventListener("click", () => dialog.close());

  const first = page.select("First", [["high", ""], ["low", ""]], shown.first, (value) => { shown.first = value; draw(); });
  function nameDirections() {
    const measure = data.measures.find(([name]) => name === shown.sort), better = measure && measure[2];
    const [high, low] = { higher: ["best", "worst"], lower: ["worst", "best"] }[better] || ["highest", "lowest"];
    [...first.querySelectorAll("option")].forEach((option, n) => { option.textContent = [high, low][n]; });
    first.hidden = !shown.sort;
  }

  const set = (name) => (value) => { shown[name] = value; nameDirections(); draw(); };
  const numbered = (titles) => titles.map((title, n) => [n, title]);
  find("controls").append(
    page.select("Test images of", numbered(data.targets.map((target) => target.title)), shown.target, set("target")),
    page.select("Trained on", numbered(data.sources), shown.source, set("source")),
    page.select("Model", numbered(data.models), shown.model, set("model")),
    page.select("Decoding", data.decodings, shown.decoding, set("decoding")),
    page.select("Compare", views, shown.view, set("view")),
    page.select("Sort by", [["", "key (order of the test set)"], ...data.measures.map(([name, title]) => [name, title])], shown.sort, set("sort")),
    first,
  );
  nameDirections();
  draw();
});

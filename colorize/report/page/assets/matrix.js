"use strict";
// The heat map: one row per model, one column per pair of data sets.
page.section("matrix", (root, data) => {
  const shown = { measure: data.measures[0][0], decoding: data.decodings[0][0], baselines: true };
  const scale = [[0, 32, 81], [40, 61, 107], [86, 92, 108], [124, 123, 120], [165, 156, 115], [212, 192, 92], [254, 232, 56]];
  const controls = root.querySelector("[data-controls]"), table = root.querySelector("[data-table]");

  // The color at 0 (lowest) to 1 (highest), and the color of a text on it.
  function colors(at) {
    const place = at * (scale.length - 1), low = Math.min(Math.floor(place), scale.length - 2);
    const rgb = scale[low].map((from, n) => Math.round(from + (scale[low + 1][n] - from) * (place - low)));
    const light = rgb.map((level) => (level / 255) ** 2.2);
    const luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
    return { background: `rgb(${rgb})`, ink: luminance > 0.18 ? "#000" : "#fff" };
  }

  function draw() {
    const decodings = data.values[shown.measure];
    const rows = decodings[shown.decoding] || Object.values(decodings)[0];
    const visible = data.models.map(([, isBaseline], n) => n).filter((n) => (shown.baselines || !data.models[n][1]) && rows[n].some(Boolean));
    const values = visible.flatMap((n) => rows[n].filter(Boolean).map((cell) => cell[0]));
    const low = Math.min(...values), span = Math.max(...values) - low || 1;
    const head = page.element("tr", {}, page.element("th", { scope: "col" }, "Model"), ...data.pairs.map(([source, target]) =>
      page.element("th", { scope: "col" }, page.element("bdi", {}, source), " → ", page.element("bdi", {}, target))));
    const body = visible.map((n) => page.element("tr", { class: data.models[n][1] ? "untrained" : null },
      page.element("th", { scope: "row" }, data.models[n][0]), ...rows[n].map((cell) => heat(cell, low, span))));
    const [, title, hint] = data.measures.find(([name]) => name === shown.measure);
    const caption = page.element("caption", {}, `${title}. ${hint}`);
    const made = page.element("table", { class: "heat" }, caption, page.element("thead", {}, head), page.element("tbody", {}, ...body));
    table.replaceChildren(made);
    decoding.querySelector("select").disabled = Object.keys(decodings).length === 1; // the measure is not one of colors
  }

  function heat(cell, low, span) {
    if (!cell) return page.element("td", {}, "-");
    const [value, text, limits, mark] = cell;
    const sign = { best: [" ✓", " (best)"], worse: ["†", " (worse than a baseline)"] }[mark];
    const made = page.element("td", { class: "number" }, text);
    if (sign) made.append(page.element("span", { "aria-hidden": "true" }, sign[0]), page.element("span", { class: "hidden" }, sign[1]));
    if (limits) made.append(page.element("small", {}, limits));
    const { background, ink } = colors((value - low) / span);
    made.style.background = background;
    made.style.color = ink;
    return made;
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  const decoding = page.select("Colors from", data.decodings, shown.decoding, set("decoding"));
  const box = page.element("input", { type: "checkbox", checked: true });
  box.addEventListener("change", () => set("baselines")(box.checked));
  controls.append(
    page.select("Measure", data.measures, shown.measure, set("measure")),
    decoding,
    page.element("label", {}, box, " Show the rows without training"),
  );
  draw();
});

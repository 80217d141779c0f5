"use strict";
// Colorfulness against error, as SVG; every marker can have the focus.
page.section("tradeoff", (root, data) => {
  const shown = { pair: 0, error: data.errors[0][0] };
  const chart = root.querySelector("[data-chart]"), readout = root.querySelector("[data-readout]");
  const [left, bottom, edge] = [62, 48, 16];

  function draw() {
    const [width, height] = chart.clientWidth < 600 ? [400, 360] : [720, 420];
    const plot = data.plots[shown.pair], title = data.errors.find(([name]) => name === shown.error)[1];
    const points = plot.points.filter((point) => point.colorfulness && point[shown.error]);
    const x = page.scale(points.map((point) => point[shown.error][0]), left, width - edge);
    const y = page.scale([0, plot.truth || 0, ...points.map((point) => point.colorfulness[0])], height - bottom, edge);
    const svg = page.svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "scatter", role: "group", "aria-label": `Colorfulness against ${title}, ${points.length} points` });
    for (const tick of x.ticks) svg.append(page.svg("line", { x1: x.at(tick), x2: x.at(tick), y1: edge, y2: height - bottom, class: "grid" }), page.svg("text", { x: x.at(tick), y: height - bottom + 18, "text-anchor": "middle" }, page.digits(tick)));
    for (const tick of y.ticks) svg.append(page.svg("line", { x1: left, x2: width - edge, y1: y.at(tick), y2: y.at(tick), class: "grid" }), page.svg("text", { x: left - 8, y: y.at(tick) + 4, "text-anchor": "end" }, page.digits(tick)));
    svg.append(page.svg("text", { x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, title), page.svg("text", { transform: `translate(14 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, "Colorfulness"));
    if (plot.truth !== null) svg.append(page.svg("line", { x1: left, x2: width - edge, y1: y.at(plot.truth), y2: y.at(plot.truth), class: "truth" }), page.svg("text", { x: width - edge, y: y.at(plot.truth) - 6, "text-anchor": "end" }, "true pictures"));
    const place = (point) => [x.at(point[shown.error][0]), y.at(point.colorfulness[0])];
    data.models.forEach((model, n) => {
      const own = points.filter((point) => point.model === n);
      if (own.length > 1) svg.append(page.svg("polyline", { points: own.map((point) => place(point).join(",")).join(" "), class: `path s${n % 8}` }));
      own.forEach((point) => svg.append(marker(point, model, n, title, place(point))));
    });
    chart.replaceChildren(svg, legend());
  }

  function marker(point, [name, isUntrained], n, title, [x, y]) {
    const text = `${name}${point.decoding ? `, ${point.decoding}` : ""}: ${title} ${point[shown.error][1]}, colorfulness ${point.colorfulness[1]}`;
    const made = page.svg("path", { d: shape(n), transform: `translate(${x} ${y})`, class: `point s${n % 8}${isUntrained ? " empty" : ""}`, tabindex: 0, role: "img", "aria-label": text });
    for (const event of ["focus", "pointerenter"]) made.addEventListener(event, () => { readout.textContent = text; });
    return made;
  }

  // Circle, square, triangle, diamond, triangle down, cross, plus, bar: one per model.
  function shape(n) {
    return ["M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0", "M-5.5 -5.5h11v11h-11z", "M0 -7l7 12h-14z", "M0 -8l7 8l-7 8l-7 -8z", "M0 7l7 -12h-14z", "M-6 -3l3 -3l3 3l3 -3l3 3l-3 3l3 3l-3 3l-3 -3l-3 3l-3 -3l3 -3z", "M-2.5 -7h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z", "M-8 -3h16v6h-16z"][n % 8];
  }

  function legend() {
    return page.element("div", { class: "legend", "aria-hidden": "true" }, ...data.models.map(([name, isUntrained], n) =>
      page.element("span", {}, page.svg("svg", { width: 18, height: 18, viewBox: "-9 -9 18 18" }, page.svg("path", { d: shape(n), class: `point s${n % 8}${isUntrained ? " empty" : ""}` })), ` ${name}`)));
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  root.querySelector("[data-controls]").append(
    page.select("Trained on → tested on", data.pairs.map((title, n) => [n, title]), shown.pair, set("pair")),
    page.select("Error", data.errors, shown.error, set("error")),
  );
  draw();
});

"use strict";
// Colorfulness against error, as SVG. The markers are one stop of the Tab key; the arrow keys move between them.
page.section("tradeoff", (root, data) => {
  const shown = { pair: 0, error: data.errors[0][0] };
  const chart = root.querySelector("[data-chart]"), readout = root.querySelector("[data-readout]");
  const [left, bottom, edge] = [62, 48, 16], firstUntrained = data.models.findIndex(([, isUntrained]) => isUntrained);
  const sizes = { "annealed mean": 0.85, mean: 0.6 }; // relative to the mode
  // Circle, square, triangle, diamond, triangle down, cross, plus, bar.
  const shapes = ["M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0", "M-5.5 -5.5h11v11h-11z", "M0 -7l7 12h-14z", "M0 -8l7 8l-7 8l-7 -8z", "M0 7l7 -12h-14z",
    "M-6 -3l3 -3l3 3l3 -3l3 3l-3 3l3 3l-3 3l-3 -3l-3 3l-3 -3l3 -3z", "M-2.5 -7h5v4.5h4.5v5h-4.5v4.5h-5v-4.5h-4.5v-5h4.5z", "M-8 -3h16v6h-16z"];

  function draw() {
    const [width, height] = chart.clientWidth < 600 ? [400, 360] : [860, 460];
    const plot = data.plots[shown.pair], [, title, better] = data.errors.find(([name]) => name === shown.error);
    const points = plot.points.filter((point) => point.colorfulness && point[shown.error]);
    const x = page.scale(points.map((point) => point[shown.error][0]), left, width - edge);
    const y = page.scale([0, plot.truth || 0, ...points.map((point) => point.colorfulness[0])], height - bottom, edge);
    const svg = page.svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "scatter", role: "group", "aria-label": `Colorfulness against ${title}, ${points.length} points. The arrow keys move between the points.` });
    const write = (text, attributes) => svg.append(page.svg("text", attributes, text));
    for (const tick of x.ticks) {
      svg.append(page.svg("line", { x1: x.at(tick), x2: x.at(tick), y1: edge, y2: height - bottom, class: "grid" }));
      write(page.digits(tick), { x: x.at(tick), y: height - bottom + 18, "text-anchor": "middle" });
    }
    for (const tick of y.ticks) {
      svg.append(page.svg("line", { x1: left, x2: width - edge, y1: y.at(tick), y2: y.at(tick), class: "grid" }));
      write(page.digits(tick), { x: left - 8, y: y.at(tick) + 4, "text-anchor": "end" });
    }
    write(`${title} (${better} is better)`, { x: (left + width - edge) / 2, y: height - 8, "text-anchor": "middle" });
    write("Colorfulness", { transform: `translate(14 ${height / 2}) rotate(-90)`, "text-anchor": "middle" });
    if (plot.truth !== null) svg.append(page.svg("line", { x1: left, x2: width - edge, y1: y.at(plot.truth), y2: y.at(plot.truth), class: "truth" }));
    const cross = page.svg("g", { class: "cross" }), at = (point) => [x.at(point[shown.error][0]), y.at(point.colorfulness[0])];
    svg.append(cross);
    data.models.forEach((model, n) => {
      const own = points.filter((point) => point.model === n);
      if (own.length > 1) svg.append(page.svg("polyline", { points: own.map((point) => at(point).join(",")).join(" "), class: `path ${look(n)}` }));
    });
    const markers = points.map((point, i) => marker(point, title, at(point), () => select(i)));
    svg.append(...markers);
    chart.replaceChildren(svg, legend(plot.truth !== null));
    if (markers.length) markers[0].setAttribute("tabindex", 0);

    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const from = markers.indexOf(document.activeElement);
      markers[(from + step + markers.length) % markers.length].focus();
    });

    function select(i) {
      markers.forEach((one, n) => { one.setAttribute("tabindex", n === i ? 0 : -1); one.classList.toggle("current", n === i); });
      readout.textContent = markers[i].getAttribute("aria-label");
      const [, , ...across] = points[i][shown.error], [, , ...up] = points[i].colorfulness, [px, py] = at(points[i]);
      const inside = (value, low, high) => Math.min(high, Math.max(low, value));
      const ends = [across.map((value) => inside(x.at(value), left, width - edge)), up.map((value) => inside(y.at(value), edge, height - bottom))];
      cross.replaceChildren();
      if (across[0] !== null) cross.append(page.svg("line", { x1: ends[0][0], x2: ends[0][1], y1: py, y2: py }));
      if (up[0] !== null) cross.append(page.svg("line", { x1: px, x2: px, y1: ends[1][0], y2: ends[1][1] }));
    }
  }

  function marker(point, title, [x, y], select) {
    const name = `${data.models[point.model][0]}${point.decoding ? `, ${point.decoding}` : ""}`;
    const text = `${name}: ${title} ${point[shown.error][1]}, colorfulness ${point.colorfulness[1]}`;
    const size = sizes[point.decoding] || 1;
    const made = page.svg("path", { d: shape(point.model), transform: `translate(${x} ${y}) scale(${size})`, class: `point ${look(point.model)}`, tabindex: -1, role: "img", "aria-label": text });
    for (const event of ["focus", "pointerenter"]) made.addEventListener(event, select);
    return made;
  }

  function look(n) { return data.models[n][1] ? "untrained" : `s${n % 8}`; }

  function shape(n) { return shapes[page.pattern(data.models[n][1] ? n - firstUntrained : n)]; }

  function legend(hasTruth) {
    const entry = (width, drawn, name) => page.element("span", {}, page.svg("svg", { width, height: 18, viewBox: `${-width / 2} -9 ${width} 18` }, drawn), name);
    const entries = data.models.map(([name], n) => entry(18, page.svg("path", { d: shape(n), class: `point ${look(n)}` }), name));
    if (hasTruth) entries.push(entry(34, page.svg("line", { x1: -17, x2: 17, y1: 0, y2: 0, class: "truth" }), "colorfulness of the true pictures"));
    return page.element("div", { class: "legend", "aria-hidden": "true" }, ...entries);
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  root.querySelector("[data-controls]").append(
    page.select("Trained on → tested on", data.pairs.map((title, n) => [n, title]), shown.pair, set("pair")),
    page.select("Error", data.errors.map(([name, title]) => [name, title]), shown.error, set("error")),
  );
  draw();
});

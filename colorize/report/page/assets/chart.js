"use strict";
// Charts: lines with uPlot (switches in the legend, values under the pointer and with the arrow keys), helpers for SVG.
page.dashes = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [12, 4], [3, 6], [8, 2, 2, 2, 2, 2]]; // one per series color

// The number of the dash pattern or marker of a series. Colors repeat after 8 series, then with another pattern.
page.pattern = (number) => (number + 3 * Math.floor(number / 8)) % 8;

// A number with four significant digits.
page.digits = (value) => (value === null || value === undefined ? "-" : String(Number(value.toPrecision(4))));

// Draw lines into `holder`, or draw others there: lines that are switched off and the position of the cursor stay.
// Options:
//   x, xLabel, yLabel
//   series: a list of {label, look, values, low, high, marked, sizes, isReference}. `look` is the number of the color and
//     the dash pattern, `low` and `high` are the limits of the band, `marked` lists values of x with a marker, `sizes` are
//     radii of the points, and a reference line has the color of the text and no switch.
//   hasBand: whether the series have limits; range: of y; xRange: of x; isJoined: whether lines cross missing values
//   xText(i) and noteText(one, i): texts of the values at position i
page.lineChart = (holder, options) => {
  if (!page.lineCharts.has(holder)) page.lineCharts.set(holder, new page.LineChart(holder));
  page.lineCharts.get(holder).show(options);
};
page.lineCharts = new WeakMap();

page.LineChart = class {
  constructor(holder) {
    this.off = new Set(); // labels
    this.index = null; // position of the cursor
    this.legend = page.element("div", { class: "legend" });
    this.plot = page.element("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart" });
    this.readout = page.element("p", { class: "readout", "aria-live": "polite" });
    this.title = page.element("p", { class: "plot-title" });
    holder.replaceChildren(this.legend, this.title, this.plot, this.readout);
    this.plot.addEventListener("keydown", (event) => this.move(event));
    page.onScheme(() => { if (this.options) this.draw(); });
    new ResizeObserver(() => { if (this.chart) this.chart.setSize({ width: this.width(), height: this.chart.height }); }).observe(holder);
  }

  show(options) {
    const old = this.options && this.index !== null ? this.options.x[this.index] : null;
    this.options = { hasBand: false, isJoined: true, xText: (i) => page.digits(options.x[i]), noteText: () => "", ...options };
    const { x, xLabel, yLabel, series } = this.options, names = series.map((one) => one.label).join(", ");
    this.plot.setAttribute("aria-label", `Line chart of ${yLabel} against ${xLabel} with ${series.length} lines: ${names}. The left and right arrow keys show the values.`);
    this.index = x.includes(old) ? x.indexOf(old) : null;
    this.readout.textContent = "Point at the chart, or focus it and use the arrow keys, to see the values.";
    this.title.textContent = yLabel;
    this.legend.replaceChildren(...series.map((one) => this.entry(one)));
    this.draw();
  }

  // An entry of the legend: a sample of the line, and a switch.
  entry(one) {
    one.sample = page.element("canvas", { width: 36, height: 10, "aria-hidden": "true" });
    if (one.isReference) return page.element("span", {}, one.sample, one.label);
    const box = page.element("input", { type: "checkbox", checked: !this.off.has(one.label) });
    box.addEventListener("change", () => {
      if (box.checked) this.off.delete(one.label); else this.off.add(one.label);
      this.draw();
    });
    return page.element("label", {}, box, one.sample, one.label);
  }

  color(one) { return page.color(one.isReference ? "--ink" : `--series-${one.look % 8}`); }

  dash(one) { return one.isReference ? [1, 3] : page.dashes[page.pattern(one.look)]; }

  width() { return Math.max(280, this.plot.clientWidth); }

  visible() { return this.options.series.filter((one) => !this.off.has(one.label)); }

  draw() {
    if (this.chart) this.chart.destroy();
    this.options.series.forEach((one) => this.drawSample(one));
    const { x, xLabel, hasBand, range, xRange, isJoined } = this.options, visible = this.visible();
    const [ink, grid] = [page.color("--ink"), page.color("--line")];
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "12px system-ui" };
    const lines = visible.map((one) => ({
      label: one.label, stroke: this.color(one), width: one.isReference ? 1.5 : 2, spanGaps: isJoined, dash: this.dash(one),
      points: { show: x.length < 40 && !one.isReference && !one.sizes, size: 6, fill: this.color(one) },
    }));
    const bands = [], limits = [];
    if (hasBand) visible.forEach((one) => {
      bands.push({ series: [lines.length + 1, lines.length + 2], fill: `${this.color(one)}33` });
      limits.push(one.high, one.low);
      for (let n = 0; n < 2; n += 1) lines.push({ label: "", width: 0, points: { show: false } });
    });
    this.chart = new uPlot({
      width: this.width(), height: innerWidth < 600 ? 280 : 360, legend: { show: false }, bands,
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false, ...(xRange ? { range: xRange } : {}) }, ...(range ? { y: { range } } : {}) },
      axes: [{ ...axis, label: xLabel, labelSize: 24, labelFont: "13px system-ui" }, { ...axis, size: 52 }],
      series: [{ label: xLabel }, ...lines],
      hooks: { draw: [(u) => this.mark(u)], ready: [() => this.point()], setCursor: [(u) => this.tell(u.cursor.idx)] },
    }, [x, ...visible.map((one) => one.values), ...limits], this.plot);
  }

  drawSample(one) {
    const pen = one.sample.getContext("2d");
    pen.clearRect(0, 0, 36, 10);
    pen.strokeStyle = this.color(one);
    pen.lineWidth = 3;
    pen.setLineDash(this.dash(one));
    pen.beginPath(); pen.moveTo(0, 5); pen.lineTo(36, 5); pen.stroke();
  }

  // Diamonds at the marked values, and circles whose sizes mean something.
  mark(u) {
    for (const one of this.visible()) {
      u.ctx.fillStyle = this.color(one);
      one.values.forEach((value, i) => {
        if (value === null) return;
        const [left, top] = [u.valToPos(u.data[0][i], "x", true), u.valToPos(value, "y", true)];
        const size = 7 * devicePixelRatio;
        u.ctx.beginPath();
        if (one.sizes) u.ctx.arc(left, top, one.sizes[i] * devicePixelRatio, 0, 2 * Math.PI);
        if (one.marked && one.marked.includes(u.data[0][i])) {
          u.ctx.moveTo(left, top - size); u.ctx.lineTo(left + size, top); u.ctx.lineTo(left, top + size); u.ctx.lineTo(left - size, top);
        }
        u.ctx.fill();
      });
    }
  }

  move(event) {
    const last = this.options.x.length - 1, from = this.index === null ? -1 : this.index;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.index = Math.min(last, Math.max(0, to));
    this.point();
  }

  // Put the cursor at the current position, and show the values there.
  point() {
    if (this.index === null) return;
    this.chart.setCursor({ left: this.chart.valToPos(this.options.x[this.index], "x"), top: this.chart.over.clientHeight / 2 });
    this.tell(this.index);
  }

  tell(index) {
    if (index === null || index === undefined) return;
    this.index = index;
    const { xLabel, xText, noteText } = this.options;
    const values = this.visible().filter((one) => !one.isReference).map((one, n) =>
      page.element("span", {}, `${n ? ", " : ""}${one.label} `, page.element("b", {}, page.digits(one.values[index])), noteText(one, index)));
    this.readout.replaceChildren(`${xLabel} `, page.element("b", {}, xText(index)), ": ", ...values);
  }
};

// An SVG element with attributes and children.
page.svg = (tag, attributes = {}, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

// A linear scale from the range of `values` to pixels, with round ticks. It has a margin of 5 % on both sides.
page.scale = (values, start, end) => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = (most - least) * 0.05 || 1, low = least - (least === 0 ? 0 : margin), high = most + margin;
  const power = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => (high - low) / size <= 6);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) ticks.push(Number((n * step).toPrecision(12)));
  return { ticks, at: (value) => start + ((value - low) / (high - low)) * (end - start) };
};

"use strict";
// Line charts with uPlot: a legend with switches, values under the pointer, and the arrow keys.
page.looks = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [12, 4], [3, 6], [8, 2, 2, 2, 2, 2]]; // dashes, one per series color

// The color of the series with this number.
page.seriesColor = (number) => page.color(`--series-${number % page.looks.length}`);

// A number with four significant digits.
page.digits = (value) => (value === null || value === undefined ? "-" : String(Number(value.toPrecision(4))));

// Draw lines into `holder`. `series` is a list of {label, look, values, low, high, marked}: `look` chooses color and dash,
// `low` and `high` are the limits of the band, and `marked` lists values of x with a marker.
page.lineChart = (holder, { x, xLabel, yLabel, series, hasBand = false, range = null }) => {
  const off = new Set();
  const plot = page.element("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart" });
  const readout = page.element("p", { class: "readout", "aria-live": "polite" });
  const legend = page.element("div", { class: "legend" });
  const text = `Line chart of ${yLabel} against ${xLabel} with ${series.length} lines: ${series.map((one) => one.label).join(", ")}.`;
  plot.setAttribute("aria-label", `${text} The left and right arrow keys show the values.`);
  holder.replaceChildren(legend, plot, readout);
  let chart = null;

  function tell(index) {
    if (index === null || index === undefined) return;
    const values = series.filter((one) => !off.has(one)).map((one) => `${one.label} ${page.digits(one.values[index])}`);
    readout.textContent = `${xLabel} ${page.digits(x[index])}: ${values.join(", ")}`;
  }

  function markers(u) {
    series.forEach((one) => {
      if (off.has(one) || !one.marked) return;
      u.ctx.fillStyle = page.seriesColor(one.look);
      for (const at of one.marked) {
        const value = one.values[x.indexOf(at)];
        if (value === null || value === undefined) continue;
        const [left, top, size] = [u.valToPos(at, "x", true), u.valToPos(value, "y", true), 5 * devicePixelRatio];
        u.ctx.beginPath();
        u.ctx.moveTo(left, top - size); u.ctx.lineTo(left + size, top); u.ctx.lineTo(left, top + size); u.ctx.lineTo(left - size, top);
        u.ctx.fill();
      }
    });
  }

  function draw() {
    if (chart) chart.destroy();
    plot.replaceChildren();
    const [ink, grid] = [page.color("--ink"), page.color("--line")];
    const axis = (label) => ({ label, stroke: ink, grid: { stroke: grid }, ticks: { stroke: grid }, labelSize: 24, font: "12px system-ui", labelFont: "13px system-ui" });
    const visible = series.filter((one) => !off.has(one));
    const lines = visible.map((one) => ({
      label: one.label, stroke: page.seriesColor(one.look), width: 2, spanGaps: true,
      dash: page.looks[one.look % page.looks.length], points: { show: x.length < 40, size: 6, fill: page.seriesColor(one.look) },
    }));
    const bands = [], limits = [];
    if (hasBand) visible.forEach((one) => {
      const first = 1 + visible.length + limits.length;
      limits.push(one.high, one.low);
      for (let n = 0; n < 2; n += 1) lines.push({ label: "", width: 0, points: { show: false } });
      bands.push({ series: [first, first + 1], fill: `${page.seriesColor(one.look)}33` });
    });
    chart = new uPlot({
      width: Math.max(280, plot.clientWidth), height: innerWidth < 600 ? 260 : 360, legend: { show: false }, bands,
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false }, ...(range ? { y: { range } } : {}) },
      axes: [axis(xLabel), { ...axis(yLabel), size: 64 }],
      series: [{ label: xLabel }, ...lines],
      hooks: { draw: [markers], setCursor: [(u) => tell(u.cursor.idx)] },
    }, [x, ...visible.map((one) => one.values), ...limits], plot);
  }

  series.forEach((one) => {
    const box = page.element("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => { if (box.checked) off.delete(one); else off.add(one); draw(); });
    const sample = page.element("canvas", { width: 36, height: 10, "aria-hidden": "true" });
    legend.append(page.element("label", {}, box, sample, one.label));
    one.sample = sample;
  });

  function drawSamples() {
    series.forEach((one) => {
      const pen = one.sample.getContext("2d");
      pen.clearRect(0, 0, 36, 10);
      pen.strokeStyle = page.seriesColor(one.look);
      pen.lineWidth = 3;
      pen.setLineDash(page.looks[one.look % page.looks.length]);
      pen.beginPath(); pen.moveTo(0, 5); pen.lineTo(36, 5); pen.stroke();
    });
  }

  let index = -1;
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    index = Math.min(x.length - 1, Math.max(0, index + step));
    chart.setCursor({ left: chart.valToPos(x[index], "x"), top: chart.over.clientHeight / 2 });
    tell(index);
  });
  page.onScheme(() => { if (!plot.isConnected) return; drawSamples(); draw(); });
  new ResizeObserver(() => chart && plot.isConnected && chart.setSize({ width: Math.max(280, plot.clientWidth), height: chart.height })).observe(holder);
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

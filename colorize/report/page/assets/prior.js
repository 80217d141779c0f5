"use strict";
// The 313 bins on the ab plane: the size of a square is the logarithm of its prior or weight.
page.section("prior", (root, data) => {
  const floor = 1e-6; // smaller priors, many of which are 0, have the smallest square
  const shown = { dataset: 0, quantity: "0" };
  const quantities = [["0", "Prior"], ["1", "Class weight"]];
  const chart = root.querySelector("[data-chart]"), readout = root.querySelector("[data-readout]");
  let current = 0, isChosen = false;

  function draw() {
    const values = data.values[shown.dataset].map((pair) => Math.log10(Math.max(pair[Number(shown.quantity)], floor)));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const svg = page.svg("svg", { viewBox: "-142 -118 266 258", class: "plane", tabindex: 0, role: "group", "aria-label": "The bins on the ab plane. The arrow keys move to the next bin." });
    for (const at of [-100, -50, 0, 50, 100]) {
      svg.append(page.svg("line", { x1: at, x2: at, y1: -112, y2: 112, class: "grid" }), page.svg("line", { x1: -112, x2: 112, y1: at, y2: at, class: "grid" }));
      svg.append(page.svg("text", { x: at, y: 121, "text-anchor": "middle" }, String(at)), page.svg("text", { x: -114, y: -at + 2, "text-anchor": "end" }, String(at)));
    }
    svg.append(page.svg("text", { x: 0, y: 133, "text-anchor": "middle" }, "a: green to red"), page.svg("text", { transform: "translate(-135 0) rotate(-90)", "text-anchor": "middle" }, "b: blue to yellow"));
    const side = (value) => 1.5 + 8 * ((value - least) / (most - least || 1));
    svg.append(...scale(least, most, side));
    const squares = data.bins.map(([a, b, red, green, blue], n) =>
      page.svg("rect", { ...around(a, -b, side(values[n])), fill: `rgb(${red} ${green} ${blue})`, class: "bin" }));
    svg.append(...squares);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] }[event.key];
      if (!step) return;
      event.preventDefault();
      tellAt(data.bins[current][0] + step[0], data.bins[current][1] + step[1]);
    });
    for (const event of ["pointermove", "pointerdown"]) svg.addEventListener(event, ({ clientX, clientY }) => {
      const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());
      tellAt(10 * Math.round(x / 10), 10 * Math.round(-y / 10)); // the bin itself, as many squares are tiny
    });
    chart.replaceChildren(svg);
    if (isChosen) tell(current);

    function tellAt(a, b) {
      const n = data.bins.findIndex((bin) => bin[0] === a && bin[1] === b);
      if (n >= 0) tell(n);
    }

    function tell(n) {
      squares[current].classList.remove("current");
      [current, isChosen] = [n, true];
      squares[n].classList.add("current");
      const [prior, weight] = data.values[shown.dataset][n];
      readout.textContent = `a ${data.bins[n][0]}, b ${data.bins[n][1]}: prior ${page.digits(100 * prior)} %, class weight ${page.digits(weight)}`;
    }
  }

  const around = (x, y, side) => ({ x: x - side / 2, y: y - side / 2, width: side, height: side });

  // What the sizes mean: the smallest, the middle and the largest one, in the corner without bins.
  function scale(least, most, side) {
    const text = (value) => {
      const number = String(Number(((shown.quantity === "0" ? 100 : 1) * 10 ** value).toPrecision(2)));
      return `${number}${shown.quantity === "0" ? " %" : ""}${value <= Math.log10(floor) ? " or less" : ""}`;
    };
    return [...new Set([least, (least + most) / 2, most])].flatMap((value, n) => [
      page.svg("rect", { ...around(-100, 80 + 12 * n, side(value)), class: "sample" }),
      page.svg("text", { x: -92, y: 82 + 12 * n }, text(value)),
    ]);
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  root.querySelector("[data-controls]").append(
    page.select("Training images of", data.datasets.map((title, n) => [n, title]), shown.dataset, set("dataset")),
    page.select("Size of a square", quantities, shown.quantity, set("quantity")),
  );
  current = data.bins.findIndex(([a, b]) => a === 0 && b === 0);
  draw();
});

"use strict";
// The 313 bins on the ab plane: the size of a square is the logarithm of its prior or weight.
page.section("prior", (root, data) => {
  const shown = { dataset: 0, quantity: "0" };
  const quantities = [["0", "Prior"], ["1", "Class weight"]];
  const chart = root.querySelector("[data-chart]"), readout = root.querySelector("[data-readout]");
  let current = 0;

  function draw() {
    const values = data.values[shown.dataset].map((pair) => Math.log10(Math.max(pair[Number(shown.quantity)], 1e-7)));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const svg = page.svg("svg", { viewBox: "-134 -118 258 252", class: "plane", tabindex: 0, role: "group", "aria-label": "The bins on the ab plane. The arrow keys move to the next bin." });
    for (const at of [-100, -50, 0, 50, 100]) {
      svg.append(page.svg("line", { x1: at, x2: at, y1: -112, y2: 112, class: "grid" }), page.svg("line", { x1: -112, x2: 112, y1: at, y2: at, class: "grid" }));
      svg.append(page.svg("text", { x: at, y: 121, "text-anchor": "middle" }, String(at)), page.svg("text", { x: -114, y: -at + 2, "text-anchor": "end" }, String(at)));
    }
    svg.append(page.svg("text", { x: 0, y: 130, "text-anchor": "middle" }, "a: green to red"), page.svg("text", { transform: "translate(-128 0) rotate(-90)", "text-anchor": "middle" }, "b: blue to yellow"));
    const squares = data.bins.map(([a, b, red, green, blue], n) => {
      const side = 1.5 + 8 * ((values[n] - least) / (most - least || 1));
      const square = page.svg("rect", { x: a - side / 2, y: -b - side / 2, width: side, height: side, fill: `rgb(${red} ${green} ${blue})`, class: "bin" });
      square.addEventListener("pointerenter", () => tell(n));
      return square;
    });
    svg.append(...squares);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [a, b] = data.bins[current], next = data.bins.findIndex((bin) => bin[0] === a + step[0] && bin[1] === b + step[1]);
      if (next >= 0) tell(next);
    });
    chart.replaceChildren(svg);

    function tell(n) {
      squares[current].classList.remove("current");
      current = n;
      squares[n].classList.add("current");
      const [prior, weight] = data.values[shown.dataset][n];
      readout.textContent = `a ${data.bins[n][0]}, b ${data.bins[n][1]}: prior ${page.digits(100 * prior)} %, class weight ${page.digits(weight)}`;
    }
  }

  const set = (name) => (value) => { shown[name] = value; draw(); };
  root.querySelector("[data-controls]").append(
    page.select("Training images of", data.datasets.map((title, n) => [n, title]), shown.dataset, set("dataset")),
    page.select("Size of a square", quantities, shown.quantity, set("quantity")),
  );
  current = data.bins.findIndex(([a, b]) => a === 0 && b === 0);
  draw();
});

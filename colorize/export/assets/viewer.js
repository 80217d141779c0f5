// The two pictures, one above the other; the slider moves the edge between them.

const viewer = {
  start() {
    byId("edge").addEventListener("input", viewer.moveEdge);
    viewer.moveEdge();
  },

  moveEdge() {
    const { value } = byId("edge");
    byId("after").style.clipPath = `inset(0 0 0 ${value}%)`;
    byId("slider").style.setProperty("--edge", `${value}%`);
    byId("edge").setAttribute("aria-valuetext", `${value} % of your photo, ${100 - value} % of the result`);
  },

  show(canvas, bitmap) {
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    byId("work").style.setProperty("--ratio", bitmap.width / bitmap.height);
    bitmap.close();
  },
};

// The worker draws the newest settings; settings that came and went while it was drawing are skipped.
const drawing = { isRunning: false, isAgain: false };
async function redraw() {
  if (!state.shown) return;
  drawing.isAgain = drawing.isRunning;
  if (drawing.isRunning) return;
  drawing.isRunning = true;
  const photo = state.shown;
  try {
    const wanted = settings(), view = byId("sure") && byId("sure").checked ? "entropy" : "colors";
    const { after } = await ask("render", { number: photo.number, settings: wanted, view });
    if (after && photo === state.shown) {
      viewer.show(byId("after"), after);
      byId("after").dataset.drawn = JSON.stringify({ ...wanted, view }); // what the picture shows
    }
  } catch (error) {
    complain(photo.file.name, error);
  }
  drawing.isRunning = false;
  if (drawing.isAgain) redraw();
}

// A number of colors from an entropy in nats.
function numColors(entropy) {
  const count = Math.round(Math.exp(entropy));
  return count === 1 ? "one color" : `about ${count} colors`;
}

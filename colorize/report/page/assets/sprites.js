"use strict";
// Pictures from sprites: files with many small pictures. A sprite is decoded when its first picture is shown.
page.sprites = new Map();

// The decoded sprite with this address; each is decoded once.
page.sprite = (address) => {
  if (!page.sprites.has(address)) {
    const image = new Image();
    image.src = address;
    page.sprites.set(address, image.decode().then(() => image));
  }
  return page.sprites.get(address);
};

// A canvas with picture `n` of a sprite that has `columns` pictures of `side` pixels per row. Without a label, it is
// hidden from screen readers, and something else must describe it.
page.picture = (address, n, side, columns, label) => {
  const canvas = page.element("canvas", { class: "picture", width: side, height: side, role: label ? "img" : null, "aria-label": label || null, "aria-hidden": label ? null : "true" });
  page.sprite(address).then((sprite) => {
    canvas.getContext("2d").drawImage(sprite, (n % columns) * side, Math.floor(n / columns) * side, side, side, 0, 0, side, side);
  });
  return canvas;
};

// A number of colors from an entropy in nats.
page.colors = (entropy) => {
  const count = Math.round(Math.exp(entropy));
  return `about ${count} ${count === 1 ? "color" : "colors"}`;
};

// The scale of the entropy maps, with numbers of colors.
page.entropyScale = ({ colors, ticks }) => {
  const bar = page.element("canvas", { class: "ramp", width: colors.length, height: 1, "aria-hidden": "true" });
  const context = bar.getContext("2d");
  colors.forEach((color, n) => { context.fillStyle = color; context.fillRect(n, 0, 1, 1); });
  const marks = ticks.map(([number, at]) => {
    const mark = page.element("span", {}, String(number));
    mark.style.left = `${100 * at}%`;
    return mark;
  });
  return page.element("div", { class: "scale" }, page.element("p", {}, "Entropy map: number of colors that the model thinks possible"), bar, page.element("div", { class: "ticks" }, ...marks));
};

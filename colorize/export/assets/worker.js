// The messages of the worker. Each request { id, op, ... } gets one answer { id, ...result } or { id, error }.
// Requests run one after the other.

const PREVIEW = 1.2e6; // pixels of the picture on the screen; the downloads have the full size
const THUMBNAIL_PIXELS = 128 * 128;
const JPEG_QUALITY = 0.95;
let session, colors, facts;
let open = null; // the photo on the screen: { number, preview, prediction, ab, entropy }; `ab` is that of the last temperature

const operations = {
  async start(request) {
    facts = request.facts;
    colors = makeColors(facts.color);
    session = await startSession(request.wasm, request.model);
    return {};
  },

  // Read a photo only, to say early whether it can be read. The answer has a small picture of it.
  async check({ file }) {
    return { thumbnail: await createImageBitmap(reduced(await decode(file), THUMBNAIL_PIXELS)) };
  },

  // Read a photo and run the network. The answer has the picture before coloring.
  async open({ number, file }) {
    open = null;
    const photo = await decode(file), prediction = await predict(session, colors, photo.pixels, facts);
    open = { number, preview: reduced(photo, PREVIEW), prediction, ab: {} };
    return { before: await createImageBitmap(open.preview), width: photo.canvas.width, height: photo.canvas.height };
  },

  // The mean entropy of the open photo, nats. This is a request of its own, so that the colors are there earlier.
  async sure({ number }) {
    if (!open || open.number !== number) return {}; // another photo was chosen in the meantime
    const entropy = openEntropy();
    return { entropy: entropy.reduce((sum, value) => sum + value, 0) / entropy.length };
  },

  // The open photo in color, or its entropy map.
  async render({ number, settings, view }) {
    if (!open || open.number !== number) return {}; // another photo was chosen in the meantime
    const { width, height, data } = open.preview, pixels = new ImageData(data.slice(), width, height);
    if (open.ab.temperature !== settings.temperature) open.ab = { ...abOf(open.prediction, facts, settings.temperature), temperature: settings.temperature };
    if (view === "entropy") paintEntropy(pixels, openEntropy(), open.prediction);
    else colors.join(pixels.data, width, height, open.ab, settings.strength);
    return { after: await createImageBitmap(pixels) };
  },

  // The photo in full size as a file, with its metadata and the mark.
  async save({ number, file, settings, type }) {
    const { bytes, kept, canvas, pixels } = await decode(file);
    const prediction = open && open.number === number ? open.prediction : await predict(session, colors, pixels, facts);
    colors.join(pixels.data, canvas.width, canvas.height, abOf(prediction, facts, settings.temperature), settings.strength);
    const isFlattened = type === "image/jpeg" && flatten(pixels.data);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const encoded = await canvas.convertToBlob({ type, quality: JPEG_QUALITY });
    kept.exif = kept.exif && cleanExif(kept.exif, canvas.width, canvas.height);
    return { blob: await withMetadata(encoded, kept, await markOf(bytes, settings)), isFlattened };
  },

  async zip({ entries }) {
    return { blob: await zipOf(entries) };
  },
};

function openEntropy() {
  const { values, bins, h, w } = open.prediction;
  return (open.entropy ??= entropyOf(values, bins, h * w));
}

// Blend transparent pixels onto white: a JPEG has no transparency. Returns whether there were any.
function flatten(data) {
  let isFlattened = false;
  for (let p = 0; p < data.length; p += 4) {
    const alpha = data[p + 3];
    if (alpha === 255) continue;
    for (let c = 0; c < 3; c++) data[p + c] = 255 + ((data[p + c] - 255) * alpha) / 255;
    data[p + 3] = 255;
    isFlattened = true;
  }
  return isFlattened;
}

// The XMP packet that says which model made the colors, from which file.
async function markOf(bytes, { temperature, strength }) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const values = { source: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""), temperature, strength };
  const text = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value)); // as Python writes numbers
  return facts.xmp.replace(/@(source|temperature|strength)@/g, (_, name) => text(values[name]));
}

// Give the pixels the colors of the scale: dark for 0, bright for the entropy of equal probabilities.
function paintEntropy({ data, width, height }, entropy, { bins, h, w }) {
  const { ramp } = facts;
  const rowOf = rowEnlarger(resizeAcross(entropy, 1, h, w, width), 1, h, width, height), highest = Math.log(bins);
  for (let y = 0, p = 0; y < height; y++) {
    const row = rowOf(y);
    for (let x = 0; x < width; x++, p += 4) {
      const at = Math.min(0.9999, Math.max(0, row[x] / highest)) * (ramp.length - 1), n = Math.trunc(at), rest = at - n;
      for (let c = 0; c < 3; c++) data[p + c] = ramp[n][c] + rest * (ramp[n + 1][c] - ramp[n][c]);
    }
  }
}

// What a person can understand and do about an error.
function explain(error) {
  if (error instanceof PhotoError) return error.message;
  if (error instanceof RangeError || /memory|alloc/i.test(error.message)) return "this device has not enough free memory for this photo. Close other tabs, or reduce the photo.";
  return error.message || String(error);
}

let last = Promise.resolve();
self.addEventListener("message", ({ data: { id, op, ...request } }) => {
  last = last.then(async () => {
    try {
      const answer = await operations[op](request);
      self.postMessage({ id, ...answer }, [answer.before, answer.after, answer.thumbnail].filter(Boolean));
    } catch (error) {
      self.postMessage({ id, error: explain(error) });
    }
  });
});

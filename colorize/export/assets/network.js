// The network in ONNX Runtime Web, in one thread. `ort` comes from the file before this one.

// The bytes of a data block of the page: base64 of gzip.
async function unpacked(text) {
  const characters = atob(text), packed = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) packed[i] = characters.charCodeAt(i);
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function startSession(wasm, model) {
  ort.env.wasm.numThreads = 1; // threads need HTTP headers, which a file cannot have
  ort.env.wasm.wasmBinary = await unpacked(wasm);
  ort.env.logLevel = "error";
  return ort.InferenceSession.create(new Uint8Array(await unpacked(model)), { executionProviders: ["wasm"] });
}

// Python rounds halves to the even number.
function roundHalfEven(value) {
  const below = Math.floor(value), rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

// The network's input size for a photo: `Colorizer.network_size`. Returns [height, width].
function networkSize(height, width, { trainingSize, step, finer, maxRatio }) {
  const short = Math.min(height, width), size = Math.min(Math.max(short, trainingSize), finer * trainingSize);
  return [height, width].map((side) => Math.max(1, roundHalfEven(Math.min((size * side) / short, size * maxRatio) / step)) * step);
}

// What the network says about a photo, (height, width, 4) RGBA: logits or, for a regression, ab_norm.
async function predict(session, colors, photo, facts) {
  const [h, w] = networkSize(photo.height, photo.width, facts);
  const rgb = resizeToRgb(photo.data, photo.width, photo.height, w, h), lightness = new Float32Array(h * w);
  for (let i = 0; i < h * w; i++) lightness[i] = colors.lightness(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]) / 100;
  const results = await session.run({ [session.inputNames[0]]: new ort.Tensor("float32", lightness, [1, 1, h, w]) });
  const output = results[session.outputNames[0]], [, bins, outH, outW] = output.dims, values = output.data;
  let sum = 0; // it is not finite if one value is not: the mode would hide that, and the picture would look like a result
  for (let i = 0; i < values.length; i++) sum += values[i];
  if (!Number.isFinite(sum)) throw new Error("The model's colors are not finite numbers. Train the model again.");
  return { values, bins, h: outH, w: outW };
}

// ab for `join`, CIELAB units.
function abOf({ values, bins, h, w }, { gamut, isDistribution, abScale }, temperature) {
  const ab = isDistribution ? colorsOf(values, gamut, h * w, temperature) : values.map((value) => abScale * value);
  return { ab, h, w };
}

// Resizing with Pillow's filters and its rounding, so that the network reads the same pixels as in Python.

const WEIGHT_BITS = 22; // Pillow stores the weights of 8-bit images as integers with this many bits after the point
const FILTERS = {
  hamming: {
    reach: 1,
    weight: (x) => (x >= 1 ? 0 : x === 0 ? 1 : (Math.sin(x * Math.PI) / (x * Math.PI)) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x * Math.PI))),
  },
  bicubic: {
    reach: 2, // a = -0.5
    weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0),
  },
  linear: { reach: 1, weight: (x) => Math.max(0, 1 - x) },
};

// The weights of the input pixels for every output pixel of one axis: output pixel i reads the inputs from `first[i]`
// on, with the weights `values[i * size]` and following, as many as `counts[i]`. When the image becomes smaller, the
// filter is as much wider (antialiasing).
function axisWeights(from, to, filter) {
  const scale = from / to, spread = Math.max(1, scale), reach = filter.reach * spread;
  const size = 2 * Math.ceil(reach) + 1;
  const first = new Int32Array(to), counts = new Int32Array(to), values = new Float64Array(to * size);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - reach + 0.5)), end = Math.min(from, Math.trunc(center + reach + 0.5));
    let sum = 0;
    for (let j = start; j < end; j++) sum += values[i * size + j - start] = filter.weight(Math.abs((j - center + 0.5) / spread));
    for (let j = start; j < end; j++) values[i * size + j - start] /= sum;
    first[i] = start;
    counts[i] = end - start;
  }
  return { first, counts, values, size };
}

function fixedPoint(weights) {
  const values = Int32Array.from(weights.values, (value) => Math.trunc(value * (1 << WEIGHT_BITS) + (value < 0 ? -0.5 : 0.5)));
  return { ...weights, values };
}

// The RGB of one row of RGBA pixels, blended onto white, as the Python code does it.
function readRow(pixels, start, width, row) {
  for (let x = 0, p = start, q = 0; x < width; x++, p += 4, q += 3) {
    const alpha = pixels[p + 3];
    for (let c = 0; c < 3; c++) {
      const blended = pixels[p + c] * alpha + 255 * (255 - alpha) + 128;
      row[q + c] = alpha === 255 ? pixels[p + c] : (blended + (blended >> 8)) >> 8;
    }
  }
}

// (height, width, 4) RGBA -> (toHeight, toWidth, 3) RGB: first the rows, then the columns, with 8 bits in between.
function resizeToRgb(pixels, width, height, toWidth, toHeight) {
  const filter = toHeight < height ? FILTERS.hamming : FILTERS.bicubic; // the same filter for both axes
  const narrow = new Uint8ClampedArray(height * toWidth * 3), row = new Uint8Array(width * 3);
  const across = fixedPoint(axisWeights(width, toWidth, filter));
  for (let y = 0; y < height; y++) {
    readRow(pixels, 4 * y * width, width, row);
    const out = 3 * y * toWidth;
    if (toWidth === width) narrow.set(row, out);
    else for (let x = 0; x < toWidth; x++) weigh(row, across, x, 3 * across.first[x], 3, narrow, out + 3 * x);
  }
  if (toHeight === height) return narrow;
  const small = new Uint8ClampedArray(toHeight * toWidth * 3), stride = 3 * toWidth;
  const down = fixedPoint(axisWeights(height, toHeight, filter));
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) weigh(narrow, down, y, down.first[y] * stride + 3 * x, stride, small, y * stride + 3 * x);
  }
  return small;
}

// One RGB pixel: the weighted sum of input pixels that are `stride` bytes apart. The arrays of the results clamp.
function weigh(input, weights, i, start, stride, result, at) {
  let r = 1 << (WEIGHT_BITS - 1), g = r, b = r; // one half, for rounding
  const { values } = weights;
  for (let k = i * weights.size, end = k + weights.counts[i], p = start; k < end; k++, p += stride) {
    const weight = values[k];
    r = (r + Math.imul(input[p], weight)) | 0;
    g = (g + Math.imul(input[p + 1], weight)) | 0;
    b = (b + Math.imul(input[p + 2], weight)) | 0;
  }
  result[at] = r >> WEIGHT_BITS;
  result[at + 1] = g >> WEIGHT_BITS;
  result[at + 2] = b >> WEIGHT_BITS;
}

// Rows of `count` planes, (count, h, w) float, enlarged or reduced along the width: (count, h, toWidth).
function resizeAcross(planes, count, height, width, toWidth) {
  const { first, counts, values, size } = axisWeights(width, toWidth, FILTERS.linear);
  const result = new Float32Array(count * height * toWidth);
  for (let row = 0; row < count * height; row++) {
    for (let x = 0; x < toWidth; x++) {
      let sum = 0;
      for (let k = 0; k < counts[x]; k++) sum += planes[row * width + first[x] + k] * values[x * size + k];
      result[row * toWidth + x] = sum;
    }
  }
  return result;
}

// Row y of planes that are enlarged or reduced along the height: one array of `count` rows.
function rowEnlarger(planes, count, height, width, toHeight) {
  const { first, counts, values, size } = axisWeights(height, toHeight, FILTERS.linear);
  const row = new Float32Array(count * width);
  return (y) => {
    row.fill(0);
    for (let k = 0; k < counts[y]; k++) {
      const weight = values[y * size + k];
      if (weight === 0) continue;
      for (let c = 0; c < count; c++) {
        const start = (c * height + first[y] + k) * width;
        for (let x = 0; x < width; x++) row[c * width + x] += weight * planes[start + x];
      }
    }
    return row;
  };
}

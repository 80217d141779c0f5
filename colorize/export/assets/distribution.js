// From the logits of the color bins to colors and to the entropy. Logits are (bins, n), n = h * w.

const BLOCK = 1024; // pixels at once; their sums stay in the CPU's cache
const NEGLIGIBLE = -20; // a term of exp(-20) times the largest changes a color by less than 0.0002 units

// Call `visit(start, size, top)` for blocks of pixels; `top` has the largest logit of each. The caller subtracts it, to
// keep the exponentials from overflowing.
function forBlocks(logits, bins, n, visit) {
  const top = new Float32Array(BLOCK);
  for (let start = 0; start < n; start += BLOCK) {
    const size = Math.min(BLOCK, n - start);
    top.fill(-Infinity);
    for (let q = 0; q < bins; q++) for (let i = 0, at = q * n + start; i < size; i++, at++) if (logits[at] > top[i]) top[i] = logits[at];
    visit(start, size, top);
  }
}

// (2, n) ab: the annealed mean (Zhang et al. 2016, equation 5), or the most probable bin for temperature 0.
function colorsOf(logits, gamut, n, temperature) {
  const isMode = temperature === 0, sharpness = isMode ? 1e30 : 1 / temperature; // so that only the largest logit counts
  const ab = new Float32Array(2 * n), sums = new Float64Array(BLOCK), as = new Float64Array(BLOCK), bs = new Float64Array(BLOCK);
  forBlocks(logits, gamut.length, n, (start, size, top) => {
    for (const list of [sums, as, bs]) list.fill(0);
    for (let q = 0; q < gamut.length; q++) {
      const [a, b] = gamut[q];
      for (let i = 0, at = q * n + start; i < size; i++, at++) {
        const below = (logits[at] - top[i]) * sharpness;
        if (below < NEGLIGIBLE || (isMode && sums[i] > 0)) continue; // of equal logits, the mode is the first bin
        const weight = Math.exp(below);
        sums[i] += weight;
        as[i] += weight * a;
        bs[i] += weight * b;
      }
    }
    for (let i = 0; i < size; i++) {
      ab[start + i] = as[i] / sums[i];
      ab[n + start + i] = bs[i] / sums[i];
    }
  });
  return ab;
}

// (n,) entropy of the distribution of each pixel, nats.
function entropyOf(logits, bins, n) {
  const entropy = new Float32Array(n), sums = new Float64Array(BLOCK), weighted = new Float64Array(BLOCK);
  forBlocks(logits, bins, n, (start, size, top) => {
    for (const list of [sums, weighted]) list.fill(0);
    for (let q = 0; q < bins; q++) {
      for (let i = 0, at = q * n + start; i < size; i++, at++) {
        const below = logits[at] - top[i];
        if (below < NEGLIGIBLE) continue;
        const weight = Math.exp(below);
        sums[i] += weight;
        weighted[i] += weight * below;
      }
    }
    for (let i = 0; i < size; i++) entropy[start + i] = Math.max(0, Math.log(sums[i]) - weighted[i] / sums[i]);
  });
  return entropy;
}

// From the logits of the color bins to colors and to the entropy. Logits are (bins, n), n = h * w.

// (n,) the largest logit of each pixel. Subtracting it keeps the exponentials from overflowing.
function largest(logits, bins, n) {
  const top = logits.slice(0, n);
  for (let q = 1; q < bins; q++) for (let i = 0; i < n; i++) if (logits[q * n + i] > top[i]) top[i] = logits[q * n + i];
  return top;
}

const NEGLIGIBLE = -40; // exp(-40) times the number of bins is far below the precision of the sum

// (2, n) ab: the annealed mean (Zhang et al. 2016, equation 5), or the most probable bin for temperature 0.
function colorsOf(logits, gamut, n, temperature) {
  const bins = gamut.length, top = largest(logits, bins, n);
  const ab = new Float32Array(2 * n), sums = new Float64Array(n), as = new Float64Array(n), bs = new Float64Array(n);
  for (let q = 0; q < bins; q++) {
    const [a, b] = gamut[q];
    for (let i = 0; i < n; i++) {
      const below = logits[q * n + i] - top[i];
      if (temperature === 0) {
        if (below !== 0 || sums[i] > 0) continue; // several equal logits: the first bin, as in Python
        sums[i] = 1;
        as[i] = a;
        bs[i] = b;
        continue;
      }
      if (below < NEGLIGIBLE * temperature) continue;
      const weight = Math.exp(below / temperature);
      sums[i] += weight;
      as[i] += weight * a;
      bs[i] += weight * b;
    }
  }
  for (let i = 0; i < n; i++) {
    ab[i] = as[i] / sums[i];
    ab[n + i] = bs[i] / sums[i];
  }
  return ab;
}

// (n,) entropy of the distribution of each pixel, nats.
function entropyOf(logits, bins, n) {
  const top = largest(logits, bins, n);
  const sums = new Float64Array(n), weighted = new Float64Array(n);
  for (let q = 0; q < bins; q++) {
    for (let i = 0; i < n; i++) {
      const below = logits[q * n + i] - top[i], weight = Math.exp(below);
      sums[i] += weight;
      weighted[i] += weight * below;
    }
  }
  return Float32Array.from(sums, (sum, i) => Math.max(0, Math.log(sum) - weighted[i] / sum));
}

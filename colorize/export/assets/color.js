// sRGB and CIELAB. The numbers are in `facts.color`, from colorize/color/cielab.py; so are the definitions.

function makeColors({ xyzFromRgb, rgbFromXyz, knee, slope, tolerance }) {
  const BISECTIONS = 12; // as in `fit_to_gamut`
  const kneeOfF = Math.cbrt(knee);
  const linearOf = (level) => (level > 0.04045 ? ((level + 0.055) / 1.055) ** 2.4 : level / 12.92);
  const linear = Float64Array.from({ length: 256 }, (_, n) => linearOf(n / 255)); // of the 8-bit levels
  const edges = Float64Array.from({ length: 256 }, (_, n) => (n < 255 ? linearOf((n + 0.5) / 255) : Infinity)); // between two levels
  const [yr, yg, yb] = xyzFromRgb[1];
  const [[rx, ry, rz], [gx, gy, gz], [bx, by, bz]] = rgbFromXyz;
  const low = -tolerance, high = 1 + tolerance;

  const fOf = (y) => (y > knee ? Math.cbrt(y) : slope * y + 16 / 116);
  const ofF = (f) => (f > kneeOfF ? f * f * f : (f - 16 / 116) / slope);
  const grays = linear.map((value) => fOf(value * (yr + yg + yb)));

  // A step of the table is less than an 8-bit level, so at most one comparison with an edge is true.
  const STEPS = 4096, levels = new Uint8Array(STEPS + 1);
  for (let n = 0, level = 0; n <= STEPS; n++) {
    while (n / STEPS >= edges[level]) level++;
    levels[n] = level;
  }
  function levelOf(value) {
    if (value <= 0) return 0;
    if (value >= 1) return 255;
    const level = levels[Math.trunc(value * STEPS)];
    return value >= edges[level] ? level + 1 : level;
  }

  // The f of Y of an RGB color: (L + 16) / 116.
  const fOfRgb = (r, g, b) => (r === g && g === b ? grays[r] : fOf(linear[r] * yr + linear[g] * yg + linear[b] * yb));

  // The largest factor of a and b with which sRGB can show the color; L stays. `a` and `b` are f of X and of Z, less f.
  function chromaThatFits(f, y, a, b) {
    let factor = 0, step = 1;
    for (let n = 0; n < BISECTIONS; n++) {
      step /= 2;
      const x = ofF(f + a * (factor + step)), z = ofF(f + b * (factor + step));
      const red = rx * x + ry * y + rz * z, green = gx * x + gy * y + gz * z, blue = bx * x + by * y + bz * z;
      const fits = red >= low && green >= low && blue >= low && red <= high && green <= high && blue <= high;
      if (fits) factor += step;
    }
    return factor;
  }

  // Give `pixels`, (height, width, 4) RGBA, new colors in place; L and alpha stay.
  // ab: (2, h, w) CIELAB units. strength: factor of ab. Returns the fraction of pixels whose chroma was reduced.
  function join(pixels, width, height, { ab, h, w }, strength) {
    const rowOf = rowEnlarger(resizeAcross(ab, 2, h, w, width), 2, h, width, height);
    let numFitted = 0;
    for (let y = 0, p = 0; y < height; y++) {
      const row = rowOf(y);
      for (let x = 0; x < width; x++, p += 4) {
        const f = fOfRgb(pixels[p], pixels[p + 1], pixels[p + 2]), luminance = ofF(f);
        let a = (strength * row[x]) / 500, b = (strength * row[width + x]) / -200;
        let X = ofF(f + a), Z = ofF(f + b);
        let red = rx * X + ry * luminance + rz * Z, green = gx * X + gy * luminance + gz * Z, blue = bx * X + by * luminance + bz * Z;
        if (red < low || green < low || blue < low || red > high || green > high || blue > high) {
          const factor = chromaThatFits(f, luminance, a, b);
          a *= factor;
          b *= factor;
          X = ofF(f + a);
          Z = ofF(f + b);
          red = rx * X + ry * luminance + rz * Z;
          green = gx * X + gy * luminance + gz * Z;
          blue = bx * X + by * luminance + bz * Z;
          numFitted++;
        }
        pixels[p] = levelOf(red);
        pixels[p + 1] = levelOf(green);
        pixels[p + 2] = levelOf(blue);
      }
    }
    return numFitted / (width * height);
  }

  return { join, lightness: (r, g, b) => 116 * fOfRgb(r, g, b) - 16 };
}

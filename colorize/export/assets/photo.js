// Decode a photo: upright RGBA pixels in sRGB, and messages for what cannot be read.

const SMALLEST = 16; // pixels, as in Python
const LARGEST = 50e6;
const MOST_BYTES = 256 * 2 ** 20;

class PhotoError extends Error {}

async function decode(file) {
  if (file.size > MOST_BYTES) throw new PhotoError("this file is too large; the limit is 256 MiB.");
  const bytes = new Uint8Array(await file.arrayBuffer()), kept = readMetadata(bytes);
  checkSize(kept.width, kept.height);
  if (kept.isCut) throw new PhotoError("the end of this file is missing. Copy the file again from where it came from.");
  const orientation = orientationOf(kept.exif);
  const bitmap = await createImageBitmap(orientation === 1 ? file : new Blob([withoutOrientation(bytes, kept)])).catch(() => null);
  if (!bitmap) throw new PhotoError(reasonOf(bytes));
  checkSize(bitmap.width, bitmap.height);
  const canvas = draw(bitmap, orientation);
  bitmap.close();
  return { bytes, kept, canvas, pixels: canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height) };
}

function checkSize(width, height) {
  if (width * height > LARGEST) throw new PhotoError(`${width} × ${height} pixels are too many; the limit is 50 megapixels.`);
  if (Math.min(width, height) < SMALLEST) throw new PhotoError(`${width} × ${height} pixels are too few; each side needs at least ${SMALLEST}.`);
}

function reasonOf(bytes) {
  const brand = ascii(bytes, 4, 8) === "ftyp" ? ascii(bytes, 8, 12) : "";
  if (/^(hei|hev|mif|msf)/.test(brand)) return "this browser cannot read HEIC photos. Save the photo as JPEG, and choose that file.";
  if (bytes.length === 0) return "this file is empty.";
  const isKnown = ["\xff\xd8\xff", "\x89PNG", "RIFF", "GIF8", "II*\0", "MM\0*"].some((start) => ascii(bytes, 0, start.length) === start) || brand;
  return isKnown ? "this browser cannot read this photo. It may be damaged, or of a kind that browsers do not know. Save it as JPEG or PNG."
    : "this is not a photo. Choose a JPEG, PNG, WebP, AVIF or GIF file.";
}

// The matrix [a, b, c, d] of each EXIF orientation: x' = a x + c y, y' = b x + d y, about the center.
const TURNS = { 2: [-1, 0, 0, 1], 3: [-1, 0, 0, -1], 4: [1, 0, 0, -1], 5: [0, 1, 1, 0], 6: [0, 1, -1, 0], 7: [0, -1, -1, 0], 8: [0, -1, 1, 0] };

// Browsers turn some kinds of files upright, and others not. So they see no orientation, and it is applied here.
function draw(bitmap, orientation) {
  const turn = TURNS[orientation] || [1, 0, 0, 1], isSideways = turn[0] === 0;
  const width = isSideways ? bitmap.height : bitmap.width, height = isSideways ? bitmap.width : bitmap.height;
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false; // every pixel stays what it is
  context.setTransform(...turn, width / 2, height / 2);
  context.drawImage(bitmap, -bitmap.width / 2, -bitmap.height / 2);
  context.resetTransform();
  return canvas;
}

// The pixels of a copy with at most `most` pixels; those of the photo itself if it is not larger.
function reduced({ canvas, pixels }, most) {
  const factor = Math.sqrt(most / (canvas.width * canvas.height));
  if (factor >= 1) return pixels;
  const width = Math.max(1, Math.round(canvas.width * factor)), height = Math.max(1, Math.round(canvas.height * factor));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// What a result keeps of the photo's file: EXIF without orientation and thumbnail, the resolution, and captions.
// Damaged metadata is left out, never an error: the pixels may be intact.

const ascii = (bytes, start, end) => String.fromCharCode(...bytes.subarray(start, end));
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// Returns { width, height, exif, exifAt, perMeter, captions, scanAt, isCut } as far as the file tells. `exifAt` is the
// position of the EXIF in the file, `perMeter` the resolution [x, y], `captions` a list of [keyword, text], `scanAt` the
// position of the pixels of a JPEG. isCut: the end of a JPEG or PNG is missing; Firefox decodes such a file without an
// error.
function readMetadata(bytes) {
  const found = { captions: [] }, setExif = (start, end) => {
    found.exif = bytes.slice(start, end);
    found.exifAt = start;
  };
  try {
    if (ascii(bytes, 0, 2) === "\xff\xd8") readJpeg(bytes, found, setExif);
    else if (ascii(bytes, 1, 4) === "PNG") readPng(bytes, found, setExif);
    else if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP") readWebp(bytes, found, setExif);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a length that leads outside of the file
  }
  found.isCut = isCut(bytes, found);
  return found;
}

function isCut(bytes, { scanAt = 2 }) {
  const has = (end, from) => {
    for (let at = bytes.length - end.length; at >= from; at--) if (bytes[at] === end.charCodeAt(0) && ascii(bytes, at, at + end.length) === end) return true;
    return false;
  };
  if (ascii(bytes, 0, 2) === "\xff\xd8") return !has("\xff\xd9", scanAt); // a thumbnail before the pixels has this end, too
  return ascii(bytes, 1, 4) === "PNG" && !has("IEND", 8);
}

function readJpeg(bytes, found, setExif) {
  const view = viewOf(bytes);
  for (let at = 2; view.getUint8(at) === 0xff; ) {
    if (view.getUint8(at + 1) === 0xff) { // padding
      at++;
      continue;
    }
    const marker = view.getUint8(at + 1), length = view.getUint16(at + 2), body = bytes.subarray(at + 4, at + 2 + length);
    if (marker === 0xda) found.scanAt = at;
    if (marker === 0xda || marker === 0xd9) return;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) [found.height, found.width] = [view.getUint16(at + 5), view.getUint16(at + 7)];
    if (marker === 0xe0 && ascii(body, 0, 5) === "JFIF\0") found.perMeter = densityOf(body[7], viewOf(body).getUint16(8), viewOf(body).getUint16(10));
    if (marker === 0xe1 && ascii(body, 0, 6) === "Exif\0\0") setExif(at + 10, at + 2 + length);
    if (marker === 0xfe) found.captions.push(["Comment", new TextDecoder().decode(body).replace(/\0+$/, "")]);
    at += 2 + length;
  }
}

// Pixels per meter, [x, y], from JFIF's unit (1: inch, 2: centimeter; others give only a ratio).
function densityOf(unit, x, y) {
  const factor = { 1: 1 / 0.0254, 2: 100 }[unit];
  return factor && x && y ? [Math.round(x * factor), Math.round(y * factor)] : undefined;
}

const CAPTIONS = ["Title", "Author", "Description", "Copyright", "Creation Time", "Comment"]; // keywords of PNG
function readPng(bytes, found, setExif) {
  const view = viewOf(bytes);
  [found.width, found.height] = [view.getUint32(16), view.getUint32(20)];
  for (let at = 8; at < bytes.length; ) {
    const length = view.getUint32(at), kind = ascii(bytes, at + 4, at + 8), body = bytes.subarray(at + 8, at + 8 + length);
    if (kind === "eXIf") setExif(at + 8, at + 8 + length);
    if (kind === "pHYs" && body[8] === 1) found.perMeter = [viewOf(body).getUint32(0), viewOf(body).getUint32(4)];
    if (kind === "tEXt" || kind === "iTXt") {
      const caption = pngText(kind, body);
      if (caption && CAPTIONS.includes(caption[0])) found.captions.push(caption);
    }
    at += 12 + length;
  }
}

// [keyword, text] of a text chunk; null if it is compressed.
function pngText(kind, body) {
  const keyword = ascii(body, 0, Math.min(80, body.indexOf(0)));
  if (kind === "tEXt") return [keyword, new TextDecoder("latin1").decode(body.subarray(keyword.length + 1))];
  if (body[keyword.length + 1] !== 0) return null;
  const language = body.indexOf(0, keyword.length + 3), translated = body.indexOf(0, language + 1);
  return [keyword, new TextDecoder().decode(body.subarray(translated + 1))];
}

function readWebp(bytes, found, setExif) {
  const view = viewOf(bytes);
  for (let at = 12; at < bytes.length; ) {
    const kind = ascii(bytes, at, at + 4), length = view.getUint32(at + 4, true), start = at + 8;
    const uint24 = (offset) => view.getUint16(start + offset, true) | (view.getUint8(start + offset + 2) << 16);
    if (kind === "VP8X") [found.width, found.height] = [uint24(4) + 1, uint24(7) + 1];
    if (kind === "VP8 ") [found.width, found.height] = [view.getUint16(start + 6, true) & 0x3fff, view.getUint16(start + 8, true) & 0x3fff];
    if (kind === "EXIF") setExif(start + (ascii(bytes, start, start + 6) === "Exif\0\0" ? 6 : 0), start + length);
    at = start + length + (length % 2);
  }
}

const ORIENTATION = 0x0112, EXIF_FOLDER = 0x8769, WIDTHS = [0x0100, 0xa002], HEIGHTS = [0x0101, 0xa003];
const THUMBNAIL = 0x0201, THUMBNAIL_LENGTH = 0x0202;

// The number of a photo's orientation, 1 to 8; 1 if it has none.
function orientationOf(exif) {
  try {
    const file = openExif(exif), entry = orientationEntry(file);
    return entry ? file.view.getUint16(entry.at + 8, file.isLittle) : 1;
  } catch {
    return 1; // no EXIF, or damaged EXIF
  }
}

const orientationEntry = (file) => file.entries(file.first).find(({ tag }) => tag === ORIENTATION);

// A copy of the file with orientation 1. The checksum of a PNG is then wrong, so the browser ignores the EXIF.
function withoutOrientation(bytes, { exif, exifAt }) {
  const file = openExif(exif), copy = bytes.slice();
  viewOf(copy).setUint16(exifAt + orientationEntry(file).at + 8, 1, file.isLittle);
  return copy;
}

// EXIF without orientation and thumbnail, with the sizes of the result; undefined if it is damaged. All other values
// stay where they are, because the notes of cameras contain addresses of their own.
function cleanExif(exif, width, height) {
  try {
    const file = openExif(exif.slice()), { view, isLittle } = file;
    let { bytes } = file;
    const next = file.next(file.first), nested = file.entries(file.first).find((entry) => entry.tag === EXIF_FOLDER);
    for (const folder of [file.first, ...(nested ? [view.getUint32(nested.at + 8, isLittle)] : [])]) {
      for (const { tag, type, at } of file.entries(folder)) {
        if (![...WIDTHS, ...HEIGHTS].includes(tag) || ![3, 4].includes(type)) continue;
        const value = WIDTHS.includes(tag) ? width : height;
        view.setUint32(at + 8, 0);
        if (type === 3) view.setUint16(at + 8, value, isLittle);
        else view.setUint32(at + 8, value, isLittle);
      }
    }
    if (next) bytes = withoutThumbnail(file, next);
    removeEntry(file, ORIENTATION);
    return bytes;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

// A TIFF structure: a view, and functions that list the entries of a folder (IFD) and the address of the next folder.
function openExif(bytes) {
  const view = viewOf(bytes), isLittle = ascii(bytes, 0, 2) === "II";
  if (view.getUint16(2, isLittle) !== 42) throw new RangeError("no TIFF header");
  const count = (folder) => view.getUint16(folder, isLittle);
  const entries = (folder) => Array.from({ length: count(folder) }, (_, n) => {
    const at = folder + 2 + 12 * n;
    return { at, tag: view.getUint16(at, isLittle), type: view.getUint16(at + 2, isLittle) };
  });
  const next = (folder) => view.getUint32(folder + 2 + 12 * count(folder), isLittle);
  return { bytes, view, isLittle, first: view.getUint32(4, isLittle), entries, next };
}

// Overwrite the second folder and its picture with zeros; cut the picture off if it is at the end of the file.
function withoutThumbnail({ bytes, view, isLittle, entries, first }, folder) {
  const listed = entries(folder), valueOf = (tag) => {
    const entry = listed.find((one) => one.tag === tag);
    return entry ? view.getUint32(entry.at + 8, isLittle) : 0;
  };
  const start = valueOf(THUMBNAIL), end = start + valueOf(THUMBNAIL_LENGTH);
  bytes.fill(0, folder, folder + 6 + 12 * listed.length);
  view.setUint32(first + 2 + 12 * entries(first).length, 0);
  if (start <= first) return bytes;
  bytes.fill(0, start, end);
  return end >= bytes.length - 1 ? bytes.subarray(0, start) : bytes;
}

function removeEntry({ bytes, view, isLittle, entries, first }, tag) {
  const listed = entries(first), entry = listed.find((one) => one.tag === tag), end = first + 2 + 12 * listed.length + 4;
  if (!entry) return;
  bytes.copyWithin(entry.at, entry.at + 12, end);
  bytes.fill(0, end - 12, end);
  view.setUint16(first, listed.length - 1, isLittle);
}

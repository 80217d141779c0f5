// Put metadata and the mark into a JPEG or PNG file that the browser has encoded.

const utf8 = (text) => new TextEncoder().encode(text);
const latin1 = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const uint16 = (value) => [value >> 8, value & 255];
const uint32 = (value) => [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
const joined = (...parts) => {
  const lists = parts.map((part) => Uint8Array.from(part)), result = new Uint8Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    result.set(list, at);
    at += list.length;
  }
  return result;
};

// kept: { exif, perMeter, captions }; xmp: text. Both may lack parts. Returns the new file, a Blob.
async function withMetadata(blob, kept, xmp) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return blob.type === "image/png" ? pngWith(bytes, kept, xmp) : jpegWith(bytes, kept, xmp);
}

const JPEG_LIMIT = 65533; // bytes in one segment
function jpegWith(bytes, { exif, perMeter, captions }, xmp) {
  const segment = (marker, ...parts) => {
    const body = joined(...parts);
    return body.length <= JPEG_LIMIT ? joined([0xff, marker], uint16(body.length + 2), body) : [];
  };
  const [x, y] = perMeter || [0, 0], unit = perMeter ? 1 : 0, perInch = (value) => Math.min(65535, Math.round(value * 0.0254)) || 1;
  const parts = [segment(0xe0, latin1("JFIF\0\x01\x01"), [unit], uint16(perInch(x)), uint16(perInch(y)), [0, 0])];
  if (exif) parts.push(segment(0xe1, latin1("Exif\0\0"), exif));
  if (xmp) parts.push(segment(0xe1, latin1("http://ns.adobe.com/xap/1.0/\0"), utf8(xmp)));
  const caption = captions.find(([keyword]) => ["Comment", "Description"].includes(keyword));
  if (caption) parts.push(segment(0xfe, utf8(caption[1])));
  const isJfif = bytes[2] === 0xff && bytes[3] === 0xe0; // replaced by ours, which has the resolution
  const rest = isJfif ? 4 + viewOf(bytes).getUint16(4) : 2;
  return new Blob([bytes.subarray(0, 2), ...parts, bytes.subarray(rest)], { type: "image/jpeg" });
}

function pngWith(bytes, { exif, perMeter, captions }, xmp) {
  const chunk = (kind, ...parts) => {
    const named = joined(latin1(kind), ...parts);
    return joined(uint32(named.length - 4), named, uint32(crc32(named)));
  };
  const text = (keyword, value) => chunk("iTXt", latin1(keyword), [0, 0, 0, 0, 0], utf8(value));
  const parts = [chunk("sRGB", [0]), ...captions.map(([keyword, value]) => text(keyword, value))];
  if (perMeter) parts.push(chunk("pHYs", uint32(perMeter[0]), uint32(perMeter[1]), [1]));
  if (exif) parts.push(chunk("eXIf", exif));
  if (xmp) parts.push(text("XML:com.adobe.xmp", xmp));
  const HEADER = 33; // bytes: the signature and the first chunk, IHDR
  return new Blob([bytes.subarray(0, HEADER), ...parts, bytes.subarray(HEADER)], { type: "image/png" });
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

// The checksum of PNG and of zip files.
function crc32(bytes) {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

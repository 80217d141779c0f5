// One zip file of several files. They are stored, not compressed: photos are compressed already.

async function zipOf(entries) {
  const parts = [], listing = [], VERSION = 20, UTF8 = 0x0800, JANUARY_1980 = 0x0021; // results have no time: equal input, equal zip
  const little = (value, size) => Array.from({ length: size }, (_, n) => Math.floor(value / 256 ** n) & 255);
  let offset = 0;
  for (const { name, blob } of entries) {
    const content = new Uint8Array(await blob.arrayBuffer()), title = utf8(name);
    const shared = joined(little(VERSION, 2), little(UTF8, 2), [0, 0, 0, 0], little(JANUARY_1980, 2), little(crc32(content), 4), little(content.length, 4), little(content.length, 4), little(title.length, 2), [0, 0]);
    parts.push(joined(latin1("PK\x03\x04"), shared, title), content);
    listing.push(joined(latin1("PK\x01\x02"), little(VERSION, 2), shared, new Array(10).fill(0), little(offset, 4), title));
    offset += 30 + title.length + content.length;
  }
  if (offset > 4e9) throw new PhotoError("All photos together are too large for one zip file. Take fewer photos at once.");
  const size = listing.reduce((sum, entry) => sum + entry.length, 0);
  const end = joined(latin1("PK\x05\x06"), [0, 0, 0, 0], little(entries.length, 2), little(entries.length, 2), little(size, 4), little(offset, 4), [0, 0]);
  return new Blob([...parts, ...listing, end], { type: "application/zip" });
}

"""Read and write XMP packets (ISO 16684-1): a small set of properties, each with a fixed form."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from xml.sax.saxutils import escape

Properties = Mapping[str, tuple[str, ...]]  # name with prefix, such as "dc:creator" -> its values

OWN = "urn:let-there-be-color:xmp:1.0/"
NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "colorize": OWN,
}
_TEXT, _LANGUAGES, _LIST, _SET = "", "Alt", "Seq", "Bag"
SOURCE_TYPE, TOOL, COMMENT = "Iptc4xmpExt:DigitalSourceType", "xmp:CreatorTool", "exif:UserComment"
DESCRIPTIVE = {  # properties of a photo that a result keeps -> form of the values
    **dict.fromkeys(("dc:title", "dc:description", "dc:rights", "xmpRights:UsageTerms"), _LANGUAGES),
    **{"dc:creator": _LIST, "dc:subject": _SET},
    **dict.fromkeys(("xmp:CreateDate", "xmp:Rating", "xmpRights:Marked", "xmpRights:WebStatement"), _TEXT),
    **dict.fromkeys(("photoshop:DateCreated", "photoshop:Headline", "photoshop:Credit", "photoshop:Source"), _TEXT),
    **dict.fromkeys(("photoshop:City", "photoshop:State", "photoshop:Country"), _TEXT),
    **dict.fromkeys(("Iptc4xmpCore:Location", SOURCE_TYPE), _TEXT),
}
_FORMS = {**DESCRIPTIVE, TOOL: _TEXT, COMMENT: _LANGUAGES}  # properties of `colorize` are texts

MAX_BYTES = 1 << 20  # of a packet that is read; in JPEGs, packets have at most 65,502
_MAX_VALUES, _MAX_LENGTH = 100, 8000  # values of a property, characters of a value
_MAX_KEPT = 40_000  # bytes of all properties that are kept, so that a packet fits into a segment of a JPEG

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_DEFAULT = "x-default"
_PREFIXES = {uri: prefix for prefix, uri in NAMESPACES.items()}
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML


def parse(packet: bytes) -> dict[str, tuple[str, ...]]:
    """Read the known properties of a packet; of several languages, the default or the first one.

    Raises:
        ValueError: the packet is damaged or too long, or has a document type.
    """
    if len(packet) > MAX_BYTES:
        raise ValueError("too long")
    text = packet.decode("utf-16" if packet[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig").strip("\0\r\n\t ")
    if "<!DOCTYPE" in text:  # it can define entities, and a few of them can stand for gigabytes of text
        raise ValueError("a document type")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError) as error:
        raise ValueError("no XML") from error
    found: dict[str, tuple[str, ...]] = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        pairs = [(name, [value]) for name, value in description.attrib.items()]
        pairs += [(element.tag, _values(element)) for element in description]
        for name, values in pairs:
            key, cleaned = _short(name), clean(values)
            if cleaned and (key in _FORMS or key.startswith("colorize:")):
                found.setdefault(key, cleaned)
    return found


def _short(name: str) -> str:
    """The name with its prefix; empty for unknown namespaces."""
    uri, _, local = name.removeprefix("{").rpartition("}")
    return f"{_PREFIXES[uri]}:{local}" if uri in _PREFIXES else ""


def _values(element: ElementTree.Element) -> list[str]:
    items = [item for array in element for item in array if item.tag == f"{{{_RDF}}}li"]
    if not items:
        return [element.text or ""]
    if element[0].tag == f"{{{_RDF}}}{_LANGUAGES}":
        items = [next((item for item in items if item.get(_LANGUAGE) == _DEFAULT), items[0])]
    return [item.text or "" for item in items]


def clean(values: list[str]) -> tuple[str, ...]:
    """Values that XML can hold, shortened if they are very long, without empty ones."""
    cleaned = (_FORBIDDEN.sub("", value).strip()[:_MAX_LENGTH] for value in values[:_MAX_VALUES])
    return tuple(value for value in cleaned if value)


def fitting(properties: Properties) -> tuple[dict[str, tuple[str, ...]], bool]:
    """The properties that fit into a result, the shortest first, and whether all of them do."""
    sizes = {key: len(_element(key, values).encode()) for key, values in properties.items()}
    kept, total = [], 0
    for key in sorted(sizes, key=lambda key: (sizes[key], key)):
        total += sizes[key]
        kept += [key] if total <= _MAX_KEPT else []
    return {key: properties[key] for key in properties if key in kept}, len(kept) == len(properties)


def write(properties: Properties) -> bytes:
    """A packet with these properties."""
    prefixes = sorted({key.partition(":")[0] for key in properties})
    names = "".join(f'\n    xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in prefixes)
    elements = "".join(f"\n   {_element(key, values)}" for key, values in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{_RDF}">\n  <rdf:Description rdf:about=""{names}>'
        f'{elements}\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def _element(key: str, values: tuple[str, ...]) -> str:
    form = _FORMS.get(key, _TEXT)
    if form == _TEXT:
        return f"<{key}>{escape(values[0])}</{key}>"
    language = f' xml:lang="{_DEFAULT}"' if form == _LANGUAGES else ""
    items = "".join(f"<rdf:li{language}>{escape(value)}</rdf:li>" for value in values)
    return f"<{key}><rdf:{form}>{items}</rdf:{form}></{key}>"

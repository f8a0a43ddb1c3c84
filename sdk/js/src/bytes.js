// Text and bytes. QuickJS has no TextEncoder and no TextDecoder, so both directions are written out; a text without
// other than ASCII characters, which nearly all are, takes the engine's own fast way.

const CHUNK = 4096;
const FOREIGN = /[^\x00-\x7f]/;

/** The UTF-8 bytes of a text. A lone surrogate becomes U+FFFD. */
export function encode(text) {
  if (!FOREIGN.test(text)) {
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    return bytes;
  }
  // Three bytes a UTF-16 unit is the most there can be.
  const bytes = new Uint8Array(text.length * 3);
  let at = 0;
  for (let i = 0; i < text.length; i += 1) {
    let point = text.codePointAt(i);
    if (point > 0xffff) i += 1;
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) {
      bytes[at++] = point;
    } else if (point < 0x800) {
      bytes[at++] = 0xc0 | (point >> 6);
      bytes[at++] = 0x80 | (point & 0x3f);
    } else if (point < 0x10000) {
      bytes[at++] = 0xe0 | (point >> 12);
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[at++] = 0x80 | (point & 0x3f);
    } else {
      bytes[at++] = 0xf0 | (point >> 18);
      bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[at++] = 0x80 | (point & 0x3f);
    }
  }
  return bytes.slice(0, at);
}

/** The text of UTF-8 bytes, or undefined where they are none. */
export function decode(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    const end = characterStart(bytes, Math.min(at + CHUNK, bytes.length));
    const raw = String.fromCharCode.apply(null, bytes.subarray(at, end));
    const part = FOREIGN.test(raw) ? decodeSlowly(bytes, at, end) : raw;
    if (part === undefined) return undefined;
    parts.push(part);
    at = end;
  }
  return parts.join("");
}

/** As {@link decode}, with U+FFFD in the place of what is no UTF-8, one a byte. */
export function decodeLossily(bytes) {
  return decode(bytes) ?? decodeSlowly(bytes, 0, bytes.length, true);
}

/** The last place up to `end` where a character starts, so that a chunk does not part one. */
function characterStart(bytes, end) {
  if (end === bytes.length) return end;
  for (let back = 0; back < 4; back += 1) {
    if ((bytes[end - back] & 0xc0) !== 0x80) return end - back;
  }
  return end;
}

function decodeSlowly(bytes, start, end, lossy = false) {
  const parts = [];
  let units = [];
  for (let at = start; at < end;) {
    const [point, length] = character(bytes, at, end);
    if (point === undefined && !lossy) return undefined;
    if (point === undefined) {
      units.push(0xfffd);
    } else if (point > 0xffff) {
      units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    } else {
      units.push(point);
    }
    at += length;
    if (units.length >= CHUNK) {
      parts.push(String.fromCharCode.apply(null, units));
      units = [];
    }
  }
  parts.push(String.fromCharCode.apply(null, units));
  return parts.join("");
}

/** One character and its length; no character where the bytes are overlong, a surrogate, cut off or none at all. */
function character(bytes, at, end) {
  const first = bytes[at];
  if (first < 0x80) return [first, 1];
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > end) return [undefined, 1];
  let point = first & (0xff >> (length + 1));
  for (let i = 1; i < length; i += 1) {
    if ((bytes[at + i] & 0xc0) !== 0x80) return [undefined, 1];
    point = (point << 6) | (bytes[at + i] & 0x3f);
  }
  const least = length === 4 ? 0x10000 : length === 3 ? 0x800 : 0x80;
  if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return [undefined, 1];
  return [point, length];
}

/** Bytes of a text or of bytes. */
export function bytesOf(value, what) {
  if (typeof value === "string") return encode(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`${what} has to be a string or a Uint8Array`);
}

// What a component lacks of JavaScript's surroundings, or has in a form that would lie. A component is a snapshot: its
// modules ran once, when it was built. Time and chance of that moment would be the same in every call, so they come from
// the host while a call runs, and throw before.

import entropy from "postern:plugin/entropy@0.1.0";
import { decodeLossily, decode, encode } from "../bytes.js";
import { engineHost } from "../host.js";

const doors = engineHost({ entropy });
let running = false;

/** From here on a call is running: the host is there. */
export function runs(exports) {
  const guarded = (call) => (...parameters) => {
    running = true;
    return call(...parameters);
  };
  const each = (functions) => Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, guarded(call)]));
  return Object.fromEntries(Object.entries(exports).map(([name, functions]) => [name, functions && each(functions)]));
}

function host(what) {
  if (!running) throw new Error(`${what} at the top of a module is what it was when the component was built; use it inside a function of the plugin`);
  return doors;
}

const RealDate = Date;
const nowMs = () => host("the time").nowMs();

Date.now = nowMs;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, parts, made) => Reflect.construct(target, parts.length === 0 ? [nowMs()] : parts, made),
  apply: (target) => new target(nowMs()).toString(),
});
RealDate.prototype.constructor = globalThis.Date;
globalThis.performance = undefined;

Math.random = () => {
  const [a, b] = new Uint32Array(host("a random number").randomBytes(8).buffer);
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
};

const filled = (array) => {
  const bytes = host("a random number").randomBytes(array.byteLength);
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
  return array;
};

globalThis.crypto = {
  getRandomValues: filled,
  randomUUID: () => {
    const bytes = filled(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  },
};

globalThis.TextEncoder = class TextEncoder {
  encoding = "utf-8";

  encode(text = "") {
    return encode(String(text));
  }
};

globalThis.TextDecoder = class TextDecoder {
  encoding = "utf-8";
  #fatal;

  constructor(label = "utf-8", { fatal = false } = {}) {
    if (!/^utf-?8$/i.test(label)) throw new RangeError("this TextDecoder knows UTF-8 only");
    this.#fatal = fatal;
  }

  decode(input = new Uint8Array()) {
    const bytes = ArrayBuffer.isView(input) ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength) : new Uint8Array(input);
    const text = this.#fatal ? decode(bytes) : decodeLossily(bytes);
    if (text === undefined) throw new TypeError("the bytes are no UTF-8");
    return text.startsWith("\ufeff") ? text.slice(1) : text;
  }
};

// What a person wrote -> a tensor of the declared datatype and shape. Every problem is an Invalid that says what to do.

const WHOLE = { INT8: [-128, 127], INT16: [-32768, 32767], INT32: [-(2 ** 31), 2 ** 31 - 1], INT64: [-(2 ** 63), 2 ** 63] };
const NATURAL = { UINT8: [0, 255], UINT16: [0, 65535], UINT32: [0, 2 ** 32 - 1], UINT64: [0, 2 ** 64] };
const RANGES = { ...WHOLE, ...NATURAL };
const MOST_EXAMPLE = 1024; // elements; more is nothing to read or edit

/** Why a field cannot be sent. */
export class Invalid extends Error {}

/** A declared tensor as `FP32 [-1, 3]`. */
export function described(spec) {
  return `${spec.datatype} ${shown(spec.shape)}`;
}

/** A shape as `[2, 3]`. */
export function shown(shape) {
  return `[${shape.join(", ")}]`;
}

/** The tensor in the JSON `text`, whose numbers go to the server exactly as they were written. */
export function fromJson(text, spec) {
  const value = parsed(text, spec);
  const shape = shapeOf(value);
  const leaves = Array.isArray(value) ? value.flat(Infinity) : [value];
  for (const leaf of leaves) checkLeaf(leaf, spec.datatype);
  const nested = shape.length === spec.shape.length;
  if (nested && !admits(spec.shape, shape)) throw new Invalid(`the shape is ${shown(shape)}, expected ${shown(spec.shape)}`);
  if (!nested && shape.length > 1) {
    throw new Invalid(`the array is nested ${shape.length} deep, expected ${spec.shape.length}, as in ${shown(spec.shape)}`);
  }
  const data = Array.isArray(value) ? text.trim() : `[${text.trim()}]`;
  return { name: spec.name, datatype: spec.datatype, shape: nested ? shape : fitted(leaves.length, spec.shape), data };
}

/** The shape that `count` elements in a row have, where at most one dimension is open. */
export function fitted(count, declared) {
  const open = declared.filter((dimension) => dimension < 0).length;
  const fixed = declared.filter((dimension) => dimension >= 0).reduce((product, dimension) => product * dimension, 1);
  if (open === 0 && fixed !== count) throw new Invalid(`${elements(count)}, expected ${fixed} for shape ${shown(declared)}`);
  if (open > 1 && count !== 1) throw new Invalid(`nest the array: ${shown(declared)} leaves ${open} dimensions open`);
  if (open > 0 && (fixed === 0 || count % fixed !== 0)) {
    throw new Invalid(`${elements(count)}, expected a multiple of ${fixed} for shape ${shown(declared)}`);
  }
  return declared.map((dimension) => (dimension < 0 ? (open > 1 ? 1 : count / fixed) : dimension));
}

/** Something small that fits: zeros, with 1 for each open dimension; "" if it would be too long to read. */
export function example(spec) {
  const shape = spec.shape.map((dimension) => (dimension < 0 ? 1 : dimension));
  if (shape.reduce((product, dimension) => product * dimension, 1) > MOST_EXAMPLE) return "";
  const leaf = { BOOL: false, BYTES: "" }[spec.datatype] ?? 0;
  const made = shape.reduceRight((inner, dimension) => Array(dimension).fill(inner), leaf);
  return JSON.stringify(made).replaceAll(",", ", ");
}

/** The shape of nested arrays. */
export function shapeOf(value) {
  if (!Array.isArray(value)) return [];
  const [first, ...others] = value.map(shapeOf);
  if (others.some((other) => String(other) !== String(first))) throw new Invalid("the rows differ in length");
  return [value.length, ...(first ?? [])];
}

function parsed(text, spec) {
  const hint = example({ ...spec, shape: spec.shape.map((dimension) => Math.min(dimension, 3)) });
  if (text.trim() === "") throw new Invalid(`is empty; expected a JSON array, such as ${hint}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new Invalid(`is not JSON; expected an array, such as ${hint}`);
  }
}

function checkLeaf(leaf, datatype) {
  const got = JSON.stringify(leaf)?.slice(0, 40);
  if (datatype === "BYTES") {
    if (typeof leaf !== "string") throw new Invalid(`${got} is not a text`);
  } else if (datatype === "BOOL") {
    if (typeof leaf !== "boolean") throw new Invalid(`${got} is neither true nor false`);
  } else if (typeof leaf !== "number") {
    throw new Invalid(`${got} is not a number`);
  } else if (datatype in RANGES) {
    const [low, high] = RANGES[datatype];
    if (!Number.isInteger(leaf) || leaf < low || leaf > high) throw new Invalid(`${got} is not ${aOrAn(datatype)}`);
  }
}

function aOrAn(datatype) {
  return `${/^[AEIO]/.test(datatype) ? "an" : "a"} ${datatype}`;
}

function admits(declared, shape) {
  return declared.every((dimension, axis) => dimension < 0 || dimension === shape[axis]);
}

function elements(count) {
  return count === 1 ? "1 element" : `${count} elements`;
}

// Elements without innerHTML: text stays text, whatever a model or a server says.

const SVG = "http://www.w3.org/2000/svg";
let made = 0;

/** An element; properties that begin with `on` are listeners, `true` is an attribute without a value. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for a drawing. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** An id that no other element has. */
export function id(stem) {
  made += 1;
  return `${stem}-${made}`;
}

/** The element with this id. */
export function find(name) {
  return document.getElementById(name);
}

/** The image in a file, as it is; the browser forgets the file's address once it is painted. */
export function picture(file, alt) {
  const image = el("img", { src: URL.createObjectURL(file), alt });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  return image;
}

/** A number of milliseconds, as precise as it is worth reading. */
export function milliseconds(value) {
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}

/** Tell those who hear the page rather than see it. */
export function say(text) {
  find("said").textContent = text;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// One field an input of the model: files or text for BYTES, JSON for everything else.
// Each has `element`, `read()`, which gives a tensor or throws Invalid, `complain(text)` and `focus()`.

import { el, id, picture } from "./dom.js";
import { described, example, fitted, fromJson, Invalid, shown } from "./tensors.js";

/** The field of one declared input. `pictures`: the model takes images. */
export function fieldFor(spec, pictures) {
  return spec.datatype === "BYTES" ? new BytesField(spec, pictures) : new NumbersField(spec);
}

class Field {
  constructor(spec) {
    this.spec = spec;
    this.hint = el("p", { class: "hint", id: id("hint") });
    this.error = el("p", { class: "error", id: id("error"), hidden: true });
  }

  /** Show why this cannot be sent, naming the field; "" takes it back. */
  complain(text) {
    this.error.textContent = text ? `${this.spec.name}: ${text}` : "";
    this.error.hidden = !text;
    for (const control of this.controls) {
      if (text) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  }

  focus() {
    this.controls[0].focus();
  }

  get about() {
    return `${this.hint.id} ${this.error.id}`;
  }

  heading(tag, properties = {}) {
    const name = el("span", { class: "name" }, this.spec.name);
    return el(tag, properties, name, " ", el("span", { class: "spec" }, described(this.spec)));
  }
}

class NumbersField extends Field {
  constructor(spec) {
    super(spec);
    const text = el("textarea", {
      id: id("field"),
      class: "data",
      rows: 3,
      spellcheck: "false",
      autocomplete: "off",
      "aria-describedby": this.about,
      oninput: () => this.look(),
    });
    text.value = example(spec);
    this.text = text;
    this.controls = [text];
    this.element = el("div", { class: "field" }, this.heading("label", { for: text.id }), text, this.hint, this.error);
    this.look();
  }

  /** Say how the text is understood, while it is written. */
  look() {
    this.complain("");
    try {
      this.hint.textContent = `A JSON array, nested or flat; now ${shown(this.read().shape)}.`;
    } catch {
      this.hint.textContent = `A JSON array, nested or flat, for shape ${shown(this.spec.shape)}.`;
    }
  }

  read() {
    return fromJson(this.text.value, this.spec);
  }
}

class BytesField extends Field {
  constructor(spec, pictures) {
    super(spec);
    this.files = [];
    const many = fits(spec, 2);
    this.picker = el("input", {
      type: "file",
      id: id("files"),
      multiple: many,
      accept: pictures ? "image/*" : undefined,
      "aria-describedby": this.about,
      onchange: () => this.take([...this.picker.files]),
      ondragenter: () => this.zone.classList.add("over"),
      ondragleave: () => this.zone.classList.remove("over"),
      ondrop: () => this.zone.classList.remove("over"),
    });
    const kind = pictures ? (many ? "photos" : "a photo") : many ? "files" : "a file";
    const prompt = el("label", { for: this.picker.id }, el("strong", {}, `Choose ${kind}`), ", drop or paste them here");
    if (!many) prompt.lastChild.textContent = ", drop or paste it here";
    this.zone = el("div", { class: "drop" }, this.picker, prompt);
    this.list = el("ul", { class: "files", "aria-label": `Chosen for ${spec.name}`, hidden: true });
    this.text = el("textarea", {
      id: id("text"),
      class: "data",
      rows: pictures ? 1 : 3,
      spellcheck: "false",
      "aria-describedby": this.about,
      oninput: () => this.complain(""),
    });
    this.hint.textContent = "A text, or a JSON array of texts, in place of a file.";
    const label = el("label", { for: this.text.id, class: "or" }, pictures ? "or its base64 text" : "or text");
    this.controls = [this.picker, this.text];
    const written = [label, this.text, this.hint];
    const parts = pictures ? [el("details", { class: "instead" }, el("summary", {}, "Write text instead"), ...written)] : written;
    this.element = el("fieldset", { class: "field" }, this.heading("legend"), this.zone, this.list, ...parts, this.error);
  }

  /** Use these files. */
  take(files) {
    this.files = files;
    this.complain("");
    this.zone.classList.remove("over");
    this.list.hidden = files.length === 0;
    this.list.replaceChildren(...files.map((file) => this.item(file)));
  }

  read() {
    const text = this.text.value;
    if (this.files.length && text.trim()) throw new Invalid("has a file and a text; remove one of them");
    if (this.files.length) {
      return { name: this.spec.name, datatype: "BYTES", shape: fitted(this.files.length, this.spec.shape), files: this.files };
    }
    if (!text.trim()) throw new Invalid("choose a file, or write a text");
    if (text.trim().startsWith("[")) return fromJson(text, this.spec);
    return { name: this.spec.name, datatype: "BYTES", shape: fitted(1, this.spec.shape), data: JSON.stringify([text]) };
  }

  item(file) {
    const remove = () => {
      this.picker.value = "";
      this.take(this.files.filter((other) => other !== file));
      this.picker.focus();
    };
    const parts = [el("span", { class: "file" }, file.name), el("span", { class: "spec" }, size(file.size))];
    if (file.type.startsWith("image/")) parts.unshift(picture(file, ""));
    parts.push(el("button", { type: "button", class: "quiet", onclick: remove, "aria-label": `Remove ${file.name}` }, "Remove"));
    return el("li", {}, ...parts);
  }
}

function fits(spec, count) {
  try {
    return fitted(count, spec.shape).length > 0;
  } catch {
    return false;
  }
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// What is to be asked: a form made from the model's metadata, or the request's JSON.

import { el, find } from "./dom.js";
import { fieldFor } from "./fields.js";
import { fromTensors, fromText } from "./request.js";
import { example, Invalid } from "./tensors.js";

/** The left half of the page. `edit` takes another model's metadata; `request` gives what to send, or null. */
export class Editor {
  constructor() {
    this.fields = [];
    this.json = find("json");
    this.modes = [...document.querySelectorAll("input[name=mode]")];
    for (const mode of this.modes) mode.addEventListener("change", () => this.switched());
    this.json.addEventListener("input", () => this.complain(""));
    document.addEventListener("paste", (event) => this.pasted(event));
  }

  get asJson() {
    return this.modes.find((mode) => mode.checked).value === "json";
  }

  /** Show a form for this model. */
  edit(metadata) {
    const pictures = metadata.outputs.some((output) => output.name === "labels" && output.datatype === "BYTES");
    this.fields = metadata.inputs.map((spec) => fieldFor(spec, pictures));
    find("form").replaceChildren(...this.fields.map((field) => field.element));
    this.json.value = "";
    this.skeleton = skeleton(metadata.inputs);
    this.complain("");
    const described = this.fields.length > 0;
    this.modes[0].disabled = !described;
    if (!described) this.modes[1].checked = true;
    find("undescribed").hidden = described;
    this.switched();
  }

  /** The request that is written here; null, with the reason shown and the field focused, if it is not one. */
  request() {
    return this.asJson ? this.ofJson() : this.ofForm();
  }

  ofForm() {
    const tensors = [];
    const wrong = [];
    for (const field of this.fields) {
      try {
        field.complain("");
        tensors.push(field.read());
      } catch (error) {
        if (!(error instanceof Invalid)) throw error;
        field.complain(error.message);
        wrong.push(field);
      }
    }
    wrong[0]?.focus();
    return wrong.length ? null : fromTensors(tensors);
  }

  ofJson() {
    try {
      const document_ = JSON.parse(this.json.value);
      if (!Array.isArray(document_?.inputs)) throw new Invalid("expected an object with a list of inputs");
      return fromText(this.json.value);
    } catch (error) {
      this.complain(error instanceof Invalid ? error.message : `not JSON: ${error.message}`);
      this.json.focus();
      return null;
    }
  }

  /** Show the form, or the JSON, which begins as what the form says, as far as that can be written. */
  switched() {
    if (this.asJson && !this.json.value) this.json.value = this.written() ?? this.skeleton;
    find("form").hidden = this.asJson;
    find("json-field").hidden = !this.asJson;
  }

  /** The form as JSON; null where it is not complete or has files. */
  written() {
    try {
      const request = fromTensors(this.fields.map((field) => field.read()));
      return request.files.length ? null : request.json;
    } catch (error) {
      if (error instanceof Invalid) return null;
      throw error;
    }
  }

  complain(text) {
    find("json-error").textContent = text ? `The request: ${text}.` : "";
    find("json-error").hidden = !text;
    if (text) this.json.setAttribute("aria-invalid", "true");
    else this.json.removeAttribute("aria-invalid");
  }

  /** Files from the clipboard go to the first field that takes files. */
  pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    const field = this.fields.find((one) => one.take);
    if (this.asJson || !files.length || !field) return;
    event.preventDefault();
    field.take(field.picker.multiple ? files : files.slice(0, 1));
  }
}

/** A field of the form that tells why there is none. */
export function waiting(text) {
  find("form").replaceChildren(el("p", { class: "empty" }, text));
}

function skeleton(inputs) {
  const tensors = inputs.map((spec) => {
    const shape = JSON.stringify(spec.shape.map((dimension) => Math.abs(dimension)));
    const data = example(spec) || "[]";
    return `    {"name": ${JSON.stringify(spec.name)}, "datatype": "${spec.datatype}", "shape": ${shape}, "data": ${data}}`;
  });
  return `{\n  "inputs": [\n${tensors.join(",\n")}\n  ]\n}`;
}

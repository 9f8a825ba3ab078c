// Tensors -> one inference request, and the same request as a curl command.
// Files travel as binary tensors behind the JSON (`binary_data_size`), as they are: no model needs to know base64 for it.

const PREFIX = 4; // bytes before each BYTES element: its length, little-endian
const MOST_ARGUMENT = 100_000; // characters; Linux takes 128 KiB in one argument of a command

/** The path of a model's inference. */
export function inferPath(model) {
  return `v2/models/${encodeURIComponent(model)}/infer`;
}

/** A request of tensors that the fields gave. */
export function fromTensors(tensors) {
  const json = `{"inputs":[${tensors.map(inputOf).join(",")}]}`;
  const files = tensors.flatMap((tensor) => tensor.files ?? []);
  return files.length ? binary(json, files) : fromText(json);
}

/** A request that is JSON already. */
export function fromText(json) {
  return { json, files: [], body: json, headers: { "Content-Type": "application/json" } };
}

/** The command that sends the same. The token is never in it. */
export function asCurl(request, url, withToken) {
  const headers = Object.entries(request.headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  if (withToken) headers.push('-H "Authorization: Bearer $TOKEN"');
  const options = ["curl -sS -D /dev/stderr", ...headers];
  if (request.files.length) {
    const blocks = request.files.map((file) => `printf '${octal(file.size)}'; cat -- ${quoted(file.name)}`);
    const pieces = [`printf %s ${quoted(request.json)}`, ...blocks].join("\n  ");
    return `{ ${pieces}\n} | ${[...options, "--data-binary @-", quoted(url)].join(" \\\n  ")}`;
  }
  if (request.json.length > MOST_ARGUMENT) {
    return `${[...options, "--data-binary @-", quoted(url)].join(" \\\n  ")} <<'END'\n${request.json}\nEND`;
  }
  return [...options, `-d ${quoted(request.json)}`, quoted(url)].join(" \\\n  ");
}

function inputOf(tensor) {
  const head = `"name":${JSON.stringify(tensor.name)},"datatype":"${tensor.datatype}","shape":${JSON.stringify(tensor.shape)}`;
  if (!tensor.files) return `{${head},"data":${tensor.data}}`;
  const bytes = tensor.files.reduce((sum, file) => sum + PREFIX + file.size, 0);
  return `{${head},"parameters":{"binary_data_size":${bytes}}}`;
}

function binary(json, files) {
  const blocks = files.flatMap((file) => [lengthOf(file.size), file]);
  const length = String(new TextEncoder().encode(json).length);
  const headers = { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": length };
  return { json, files, body: new Blob([json, ...blocks]), headers };
}

function lengthOf(size) {
  const bytes = new DataView(new ArrayBuffer(PREFIX));
  bytes.setUint32(0, size, true);
  return bytes;
}

function octal(size) {
  const bytes = new Uint8Array(lengthOf(size).buffer);
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

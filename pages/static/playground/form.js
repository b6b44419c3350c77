// The form of an operation, made from what the contract says of it.

import { carry, held } from "./carry.js";
import { el, newId } from "./dom.js";

const PLACES = { path: "Path", query: "Query", header: "Headers", cookie: "Cookies" };

const CREDENTIALS = {
  bearer: "API key or token",
  cookie: "Value of the cookie",
  signature: "Shared secret; it signs the body here and is not sent",
};

let server = "";

/** The form, and `call()`: what it says at the moment. */
export function makeForm(operation) {
  const fields = operation.parameters.map(parameterField);
  const body = operation.body && bodyFields(operation.body);
  const credential = credentialFields(operation.security.filter((each) => each), operation.proxy);
  const address = operation.proxy ? null : addressField();
  const element = el(
    "form",
    { className: "pg-form", attributes: { "aria-label": "Request" }, autocomplete: "off" },
    address?.element,
    credential?.element,
    Object.entries(PLACES).map(([place, title]) => group(title, place, fields)),
    body?.element,
  );
  return {
    element,
    call() {
      const call = { path: {}, query: {}, header: {}, cookie: {}, credential: null };
      for (const field of fields) {
        const value = field.read();
        if (value !== null) call[field.place][field.name] = value;
      }
      if (credential) call.credential = credential.read();
      return { ...call, ...(body?.read() ?? { body: null, contentType: null }), server };
    },
  };
}

function group(title, place, fields) {
  const those = fields.filter((each) => each.place === place);
  if (!those.length) return null;
  const optional = those.filter((each) => !each.required);
  const needed = those.filter((each) => each.required);
  return el(
    "fieldset",
    {},
    el("legend", { textContent: title }),
    needed.map((each) => each.element),
    optional.length
      ? el(
          "details",
          { open: place === "query" && optional.length <= 3 },
          el("summary", { textContent: `${optional.length} optional` }),
          optional.map((each) => each.element),
        )
      : null,
  );
}

function labelled(name, facts, control, required) {
  const about = newId("about");
  control.id = newId("field");
  if (facts) control.setAttribute("aria-describedby", about);
  return el(
    "div",
    { className: "pg-field" },
    el(
      "label",
      { htmlFor: control.id },
      name,
      required ? el("span", { className: "required", textContent: " required" }) : null,
    ),
    control,
    facts ? el("span", { className: "about", id: about, textContent: facts }) : null,
  );
}

function parameterField(parameter) {
  const { name, required, many } = parameter;
  const control = parameterControl(parameter);
  control.name = name;
  control.required = required;
  const kind = many ? `several of ${parameter.type}, one a line` : parameter.type;
  const facts = [kind, ...parameter.facts].join(" · ");
  return {
    name,
    required,
    place: parameter.in,
    element: labelled(el("code", { textContent: name }), facts, control, required),
    read() {
      if (!many) return control.value === "" ? null : control.value;
      const lines = control.value.split("\n").filter((line) => line !== "");
      return lines.length ? lines : null;
    },
  };
}

const told = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function parameterControl({ type, many, enum: choices, value, required }) {
  const values = type === "boolean" ? ["true", "false"] : choices;
  if (many) {
    const lines = [value ?? []].flat().map(told).join("\n");
    return el("textarea", { rows: 2, value: lines, spellcheck: false });
  }
  if (values.length) {
    const select = el(
      "select",
      {},
      required ? null : el("option", { value: "", textContent: "not sent" }),
      values.map((each) => el("option", { value: each, textContent: each })),
    );
    if (value !== null) select.value = told(value);
    return select;
  }
  return el("input", {
    type: "text",
    inputMode: type === "integer" || type === "number" ? "numeric" : "text",
    value: value === null ? "" : told(value),
    spellcheck: false,
    autocapitalize: "off",
  });
}

function credentialFields(schemes, carried) {
  if (!schemes.length) return null;
  const input = el("input", {
    type: "password",
    autocomplete: "off",
    spellcheck: false,
    attributes: { "data-1p-ignore": "", "data-lpignore": "true" },
  });
  const label = el("span");
  const field = labelled(
    label,
    "Kept in this page's memory and nowhere else; gone when the page is closed or loaded anew.",
    input,
    false,
  );
  const select = el(
    "select",
    {},
    schemes.map((each) => el("option", { value: each.name, textContent: `${each.name} (${each.cookie ? `cookie ${each.cookie}` : "bearer"})` })),
  );
  const chosen = () => schemes[select.selectedIndex];
  const change = () => {
    label.textContent = CREDENTIALS[chosen().kind];
    input.value = held.get(chosen().name) ?? "";
  };
  const known = schemes.findIndex((each) => held.get(each.name));
  select.selectedIndex = Math.max(known, 0);
  select.addEventListener("change", change);
  input.addEventListener("input", () => {
    held.set(chosen().name, input.value.trim());
    // Files have links that are relative to their folder, and would lead astray from another.
    if (carried) carry();
  });
  change();
  return {
    element: el(
      "fieldset",
      {},
      el("legend", { textContent: "Credential" }),
      schemes.length > 1 ? labelled("Scheme", "", select, false) : null,
      field,
    ),
    read() {
      const value = input.value.trim();
      return value ? { ...chosen(), value } : null;
    },
  };
}

function bodyFields({ media }) {
  const types = media.map((each) => each.type);
  const select = el("select", {}, types.map((each) => el("option", { textContent: each })));
  const editor = el("textarea", {
    className: "pg-editor",
    spellcheck: false,
    autocapitalize: "off",
    attributes: { "data-body": "" },
  });
  const fill = () => {
    editor.value = shown(media[select.selectedIndex]);
    editor.rows = Math.min(Math.max(editor.value.split("\n").length, 3), 18);
  };
  // Most servers of the world, and all samples here, speak JSON first.
  select.selectedIndex = Math.max(types.indexOf("application/json"), 0);
  select.addEventListener("change", fill);
  fill();
  return {
    element: el(
      "fieldset",
      {},
      el("legend", { textContent: "Body" }),
      types.length > 1 ? labelled("Content type", "", select, false) : null,
      labelled(el("code", { textContent: types.length > 1 ? "body" : types[0] }), "", editor, false),
    ),
    read() {
      const empty = editor.value.trim() === "";
      return { body: empty ? null : editor.value, contentType: empty ? null : select.value };
    },
  };
}

function shown({ type, example }) {
  if (example === null || example === undefined) return "";
  if (typeof example === "string") return example;
  if (type === "application/x-www-form-urlencoded") return String(new URLSearchParams(example));
  return JSON.stringify(example, null, 2);
}

function addressField() {
  const input = el("input", {
    type: "url",
    required: true,
    value: server,
    placeholder: "https://rensei.example",
    on: { input: () => (server = input.value.trim()) },
  });
  return {
    element: el(
      "fieldset",
      {},
      el("legend", { textContent: "Server" }),
      labelled("Address", "These pages belong to no server. Yours must let pages of this origin call it.", input, true),
    ),
  };
}

// Shows /api/v1/openapi.json. Texts are set as texts and never as markup.
"use strict";

const make = (name, text, ...children) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

const resolve = (api, schema) => {
  if (!schema) return {};
  if (schema.$ref) return resolve(api, schema.$ref.slice(2).split("/").reduce((at, key) => at[key], api));
  const choice = (schema.oneOf || []).find((one) => one.type !== "null");
  return choice ? { ...resolve(api, choice), description: schema.description } : schema;
};

const nameOf = (schema) => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choice = (schema.oneOf || []).find((one) => one.type !== "null");
  if (choice) return nameOf(choice);
  const type = [].concat(schema.type || "any").filter((one) => one !== "null").join(" or ");
  return type === "array" ? `list of ${nameOf(schema.items || {})}` : type;
};

const limits = (schema) => {
  const parts = [];
  if (schema.enum) parts.push(schema.enum.join(", "));
  if (schema.minimum !== undefined) parts.push(`${schema.minimum} to ${schema.maximum}`);
  if (schema.maxLength !== undefined) parts.push(`up to ${schema.maxLength} characters`);
  if (schema.default !== undefined) parts.push(`default ${schema.default}`);
  return parts.join("; ");
};

const fields = (api, schema) => {
  const plain = resolve(api, schema);
  const parts = plain.allOf ? plain.allOf.map((part) => resolve(api, part)) : [plain];
  const table = make("table");
  for (const part of parts) {
    for (const [name, field] of Object.entries(part.properties || {})) {
      const needed = (part.required || []).includes(name) ? "" : " (optional)";
      const about = [field.description || resolve(api, field).description, limits(resolve(api, field))];
      table.append(make("tr", "", make("th", "", make("code", name)), make("td", nameOf(field) + needed),
        make("td", about.filter(Boolean).join(" "))));
    }
  }
  return table;
};

const operation = (api, path, method, op) => {
  const summary = make("summary", "", make("span", method.toUpperCase()), make("span", path), ` ${op.summary || ""}`);
  summary.children[0].className = "method";
  summary.children[1].className = "path";
  const box = make("details", "", summary);
  if (op.description) box.append(make("p", op.description));
  if (op.parameters && op.parameters.length) {
    const table = make("table");
    for (const one of op.parameters) {
      table.append(make("tr", "", make("th", "", make("code", one.name)),
        make("td", `${one.in}${one.required ? "" : " (optional)"}`),
        make("td", [one.description, limits(one.schema || {})].filter(Boolean).join(" "))));
    }
    box.append(make("h3", "Parameters"), table);
  }
  const body = op.requestBody && op.requestBody.content["application/json"];
  if (body) box.append(make("h3", `Body: ${nameOf(body.schema)}`), fields(api, body.schema));
  for (const [status, response] of Object.entries(op.responses || {})) {
    const content = Object.values(response.content || {})[0];
    box.append(make("h3", `${status === "default" ? "Otherwise" : status}: ${response.description || ""}`));
    if (content && status !== "default") box.append(fields(api, content.schema));
    if (content && status === "default") box.append(make("p", "A problem with code and hint."));
  }
  box.dataset.text = `${method} ${path} ${op.summary || ""} ${(op.tags || []).join(" ")}`.toLowerCase();
  return box;
};

const show = (api) => {
  document.getElementById("about").textContent = api.info.description;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const tag = (op.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(api, path, method, op));
    }
  }
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const [tag, boxes] of groups) main.append(make("section", "", make("h2", tag), ...boxes));
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const section of main.children) {
      const boxes = [...section.querySelectorAll("details")];
      for (const box of boxes) box.hidden = !wanted.every((word) => box.dataset.text.includes(word));
      section.hidden = boxes.every((box) => box.hidden);
    }
  });
};

fetch("/api/v1/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch(() => document.getElementById("operations").replaceChildren(make("p", "The server does not answer.")));

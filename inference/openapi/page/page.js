"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, attributes) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
    return e;
  };
  let columns = []; // {name, schema, control, note}
  let example = {};

  const types = (schema) => [].concat(schema.type || []);

  // round is a number as a person reads it.
  const round = (x) => String(Number(x.toPrecision(4)));

  // hint says what a column takes.
  const hint = (schema, required) => {
    const kinds = types(schema).filter((t) => t !== "null").map((t) => ({ string: "text", integer: "whole number", boolean: "true or false" })[t] || t);
    const words = [schema.enum ? "one of " + schema.enum.filter((v) => v !== null).length : kinds.join(" or ")];
    if (schema.minimum !== undefined && schema.maximum !== undefined) words.push(schema.minimum + " to " + schema.maximum);
    else if (schema.minimum !== undefined) words.push("at least " + schema.minimum);
    else if (schema.maximum !== undefined) words.push("at most " + schema.maximum);
    if (!required) words.push("may be left out");
    return words.join(", ");
  };

  const control = (schema, id) => {
    const t = types(schema);
    const words = schema.enum ? schema.enum.filter((v) => v !== null) : t.includes("boolean") ? ["true", "false"] : null;
    if (words) {
      const select = make("select", undefined, { id });
      select.append(make("option", "(missing)", { value: "" }));
      for (const w of words) select.append(make("option", w, { value: w }));
      return select;
    }
    const numeric = t.includes("number") || t.includes("integer");
    return make("input", undefined, { id, type: "text", inputmode: numeric ? "decimal" : "text", autocomplete: "off", spellcheck: "false" });
  };

  const fill = (record) => {
    for (const c of columns) {
      const v = record[c.name];
      c.control.value = v === null || v === undefined ? "" : String(v);
    }
  };

  // value turns a control's text into what the record holds. A number goes as a number where it reads as one, so that its digits are checked by the service.
  const value = (c) => {
    const text = c.control.value.trim();
    if (text === "") return null;
    const t = types(c.schema);
    if (t.includes("boolean")) return text === "true";
    if ((t.includes("number") || t.includes("integer")) && Number.isFinite(Number(text))) return Number(text);
    return text;
  };

  const build = (doc) => {
    const schema = doc.components.schemas.Record;
    const required = new Set(schema.required || []);
    example = (schema.examples || [{}])[0];
    const fields = byId("fields");
    const names = schema["x-order"] || Object.keys(schema.properties || {});
    columns = names.map((name, i) => {
      const s = schema.properties[name];
      const field = make("div");
      const label = make("label", name, { for: "column-" + i });
      label.append(make("small", hint(s, required.has(name))));
      const c = control(s, "column-" + i);
      const note = make("small", "", { class: "fault", id: "fault-" + i });
      c.setAttribute("aria-describedby", "fault-" + i);
      field.append(label, c, note);
      fields.append(field);
      return { name, schema: s, control: c, note };
    });
    fill(example);
    byId("form").hidden = byId("all").hidden = false;
    byId("title").textContent = doc.info.title;
    document.title = doc.info.title;
    byId("version").textContent = "version " + doc.info.version + " in Production.";
    const rows = byId("paths");
    for (const path of Object.keys(doc.paths).sort()) {
      for (const method of ["get", "post"]) {
        const op = doc.paths[path][method];
        if (!op) continue;
        const row = make("tr");
        row.append(make("td", method.toUpperCase()), make("td", path), make("td", op.summary || ""));
        rows.append(row);
      }
    }
  };

  const showFaults = (body) => {
    const detail = body && Array.isArray(body.detail) ? body.detail : [];
    for (const c of columns) {
      const found = detail.filter((p) => Array.isArray(p.loc) && p.loc[p.loc.length - 1] === c.name);
      c.note.textContent = found.map((p) => p.msg).join("; ");
      c.control.setAttribute("aria-invalid", found.length > 0 ? "true" : "false");
    }
  };

  const showScore = (body) => {
    const score = byId("score"), reasons = byId("reasons"), bars = byId("bars");
    for (const e of [score, reasons, bars]) e.replaceChildren();
    byId("legend").hidden = true;
    if (!body || typeof body.churn_probability !== "number") return;
    score.textContent = body.label + ": probability " + body.churn_probability.toFixed(4) + ", threshold " + round(body.threshold);
    const why = body.explanation;
    if (!why) return;
    byId("legend").hidden = false;
    for (const r of why.reasons) reasons.append(make("li", r));
    const amounts = Object.entries(why.contributions).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const most = amounts.length ? Math.abs(amounts[0][1]) : 0;
    for (const [name, amount] of amounts) {
      const bar = make("div", undefined, { class: "bar" });
      const p = make("progress", undefined, { max: "1", value: String(most > 0 ? Math.abs(amount) / most : 0), class: amount > 0 ? "up" : "down", "aria-label": name });
      bar.append(make("span", name), p, make("span", (amount > 0 ? "+" : "") + amount.toFixed(3), { class: "amount" }));
      bars.append(bar);
    }
  };

  // quoted is a word of a shell.
  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

  const send = async (event) => {
    event.preventDefault();
    const record = {};
    for (const c of columns) record[c.name] = value(c);
    const query = new URLSearchParams();
    for (const name of ["explain", "strict"]) if (byId(name).checked) query.set(name, "true");
    const url = "predict" + (query.size ? "?" + query : "");
    const body = JSON.stringify(record, null, 2);
    const headers = { "Content-Type": "application/json" };
    const id = byId("request-id").value.trim();
    if (id !== "") headers["Request-Id"] = id;
    byId("request").textContent = ["curl", quoted(new URL(url, location.href).href), ...Object.entries(headers).map(([k, v]) => "-H " + quoted(k + ": " + v)), "-d"].join(" ") + " " + quoted(body);
    const button = document.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const answer = await fetch(url, { method: "POST", headers, body });
      const text = await answer.text();
      let parsed = null;
      try { parsed = JSON.parse(text); } catch { /* shown as it is */ }
      byId("status").textContent = "Response: " + answer.status;
      const said = ["Request-Id", "Model-Version", "Prediction-Id", "Rollout-Revision", "Retry-After"].filter((k) => answer.headers.has(k)).map((k) => k + ": " + answer.headers.get(k) + "\n");
      byId("response").textContent = said.join("") + "\n" + (parsed === null ? text : JSON.stringify(parsed, null, 2));
      showFaults(parsed);
      showScore(parsed);
    } catch (err) {
      byId("status").textContent = "No response";
      byId("response").textContent = String(err);
      showScore(null);
    } finally {
      button.disabled = false;
      byId("result").hidden = false;
      byId("result").scrollIntoView({ block: "nearest" });
    }
  };

  const start = async () => {
    try {
      const answer = await fetch("openapi.json");
      if (!answer.ok) throw new Error("openapi.json: " + answer.status);
      build(await answer.json());
    } catch (err) {
      byId("problem").textContent = "The description of the model could not be read: " + err.message;
      byId("problem").hidden = false;
      return;
    }
    byId("form").addEventListener("submit", send);
    byId("reset").addEventListener("click", () => fill(example));
  };
  start();
})();

"use strict";
// The list of transcripts, and the viewer. Texts enter the document as text nodes only.

const data = JSON.parse(document.getElementById("data").textContent);
const STOP = data.bars[0];
const SHOWN = 100;
const byId = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// --- the list

let limit = SHOWN;

function matches(entry, which, detector, words) {
  const told = entry.told.filter(([name]) => !detector || name === detector);
  const found = entry.findings.filter(([name]) => !detector || name === detector);
  const chosen = {
    wrong: () => told.some(([, what]) => what !== "grey"),
    found: () => found.length > 0,
    any: () => true,
  }[which] || (() => told.some(([, what]) => what === which));
  if (!chosen()) return false;
  const kinds = entry.truths.map(([, , kind]) => kind).join(" ");
  const about = `${entry.id} ${entry.source} ${entry.model} ${kinds}`.toLowerCase();
  return words.every((word) => about.includes(word));
}

function item(entry) {
  const button = element("button", { type: "button" }, element("b", {}, entry.id));
  const labels = entry.truths.filter(([, positive]) => positive).map(([subject, , kind]) => kind || subject);
  button.append(element("small", {}, [entry.source, entry.model, labels.join(", ")].filter(Boolean).join(" · ")));
  for (const [detector, what, place, reason] of entry.told) {
    const line = element("small", {}, element("span", { class: what }, `${detector}: ${what}`));
    line.append(` ${[place, reason].filter(Boolean).join(", ")}`);
    button.append(line);
  }
  button.addEventListener("click", () => { location.hash = `line=${entry.line}`; });
  return element("li", {}, button);
}

function list() {
  const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const those = data.transcripts.filter((entry) => matches(entry, byId("which").value, byId("by").value, words));
  byId("list").replaceChildren(...those.slice(0, limit).map(item));
  byId("count").textContent = `${those.length} of ${data.transcripts.length}`;
  byId("more").hidden = those.length <= limit;
}

for (const detector of data.detectors) byId("by").append(element("option", { value: detector }, detector));
for (const id of ["which", "by", "words"]) {
  byId(id).addEventListener("input", () => { limit = SHOWN; list(); });
}
byId("more").addEventListener("click", () => { limit += SHOWN; list(); });

// --- the viewer

async function inflate(packed) {
  const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// Offsets count code points; a string of JavaScript counts UTF-16 units.
function marked(points, base, entry) {
  const end = base + points.length;
  const inside = (place) => place >= base && place <= end;
  const ranges = [];
  const pins = [];
  for (const [start, stop, label] of entry.marks) ranges.push([start, stop, "labelled", label]);
  for (const [, score, start, stop, from, to, at, told] of entry.findings) {
    if (from !== null) ranges.push([from, to, "proof", told]);
    ranges.push([start, stop, score >= STOP ? "stop" : "warn", told]);
    if (inside(at)) pins.push([at, told, "pin"]);
  }
  for (const [subject, at] of entry.onsets) if (inside(at)) pins.push([at, `labelled onset: ${subject}`, "pin onset"]);
  const cuts = new Set([base, end]);
  for (const [start, stop] of ranges) for (const place of [start, stop]) if (inside(place)) cuts.add(place);
  for (const [at] of pins) cuts.add(at);
  const places = [...cuts].sort((one, other) => one - other);
  const text = element("pre", {});
  places.forEach((place, index) => {
    for (const [at, told, kind] of pins) if (at === place) text.append(element("span", { class: kind }, told));
    const next = places[index + 1];
    if (next === undefined) return;
    const here = ranges.filter(([start, stop]) => start < next && stop > place);
    const piece = points.slice(place - base, next - base).join("");
    if (here.length === 0) text.append(piece);
    else {
      const kinds = [...new Set(here.map(([, , kind]) => kind))].join(" ");
      text.append(element("mark", { class: kinds, title: here.map(([, , , told]) => told).join("\n") }, piece));
    }
  });
  return text;
}

let shown = -1;

function step(by) {
  const pins = byId("body").querySelectorAll(".pin");
  if (pins.length === 0) return;
  if (shown >= 0) pins[shown].classList.remove("here");
  shown = (shown + by + pins.length) % pins.length;
  pins[shown].classList.add("here");
  pins[shown].scrollIntoView({ block: "center" });
}

async function open(entry) {
  const { prompt, lanes } = await inflate(entry.text);
  byId("name").textContent = entry.id;
  const labels = entry.truths.map(([subject, positive, kind, how]) => {
    const said = positive === null ? "grey" : positive ? kind || "yes" : "clean";
    return `${subject}: ${said}${how ? ` (by ${how})` : ""}`;
  });
  const body = byId("body");
  const about = [entry.source, entry.model, `line ${entry.line}`, `policy: ${entry.outcome}`];
  body.replaceChildren(
    element("p", { class: "quiet" }, about.filter(Boolean).join(" · ")),
    element("p", { class: "quiet" }, `labels: ${labels.join(", ") || "none"}`),
  );
  const told = element("ul", {});
  for (const [detector, what, place, reason] of entry.told) {
    told.append(element("li", { class: what }, `${detector}: ${what} ${[place, reason].filter(Boolean).join(", ")}`));
  }
  body.append(told);
  if (prompt) body.append(element("details", {}, element("summary", {}, "prompt"), element("pre", {}, prompt)));
  let base = 0;
  for (const [channel, text] of lanes) {
    const points = Array.from(text);
    body.append(element("h3", {}, `${channel}, ${points.length.toLocaleString("en")} characters`));
    body.append(marked(points, base, entry));
    base += points.length;
  }
  shown = -1;
  const none = body.querySelector(".pin") === null;
  byId("previous").disabled = byId("next").disabled = none;
  if (!byId("viewer").open) byId("viewer").showModal();
  byId("viewer").scrollTop = 0;
}

function follow() {
  const line = /^#line=(\d+)$/.exec(location.hash);
  const entry = line && data.transcripts.find((each) => each.line === Number(line[1]));
  if (entry) open(entry);
  else if (byId("viewer").open) byId("viewer").close();
}

byId("next").addEventListener("click", () => step(1));
byId("previous").addEventListener("click", () => step(-1));
byId("close").addEventListener("click", () => byId("viewer").close());
byId("viewer").addEventListener("close", () => {
  if (location.hash.startsWith("#line=")) history.replaceState(null, "", location.pathname + location.search);
});
window.addEventListener("hashchange", follow);

list();
follow();

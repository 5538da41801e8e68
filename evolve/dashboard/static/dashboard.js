// Puts what the server sends into the page, and reads out when a run's state has changed. The page works without it.
"use strict";

const parts = new Map(); // id → HTML that waits until nobody is at work in that part
let states = null;

function isBusy(element) {
  const active = document.activeElement;
  return active !== null && element.contains(active) && active.closest("form") !== null;
}

function filled(element) {
  return [...element.querySelectorAll("input")].some(
    (input) => input.type === "checkbox" ? input.checked : input.type !== "hidden" && input.value !== "");
}

function put(id) {
  const element = document.getElementById(id);
  if (element === null || isBusy(element) || filled(element)) return;
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...element.querySelectorAll("details[open]")].map((details) => details.id);
  const summary = document.activeElement?.closest("summary");
  const folded = summary && element.contains(summary) ? summary.parentElement.id : "";
  element.innerHTML = parts.get(id);
  parts.delete(id);
  for (const name of open) document.getElementById(name)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (folded) document.getElementById(folded)?.querySelector("summary").focus({ preventScroll: true });
}

function say(text) {
  const news = document.getElementById("news");
  if (news.textContent !== text) news.textContent = text;
}

function heard(event) {
  const message = JSON.parse(event.data);
  for (const [id, html] of Object.entries(message.parts)) {
    parts.set(id, html);
  }
  for (const id of [...parts.keys()]) put(id);
  const changed = Object.entries(message.states).filter(([name, state]) => states !== null && states[name] !== state);
  states = message.states;
  if (changed.length > 0) say(changed.map(([name, state]) => `${name}: ${state}`).join("; "));
}

const source = new EventSource(document.body.dataset.live);
source.onmessage = heard;
source.onopen = () => document.body.removeAttribute("data-lost");
source.onerror = () => {
  if (!document.body.hasAttribute("data-lost")) {
    document.body.setAttribute("data-lost", "");
    const look = document.getElementById("look");
    const lost = document.createElement("p");
    lost.className = "trouble";
    lost.textContent = "The connection to evolve dashboard was lost: what stands here is old.";
    look?.append(lost);
    say(lost.textContent);
  }
};
document.addEventListener("focusout", () => setTimeout(() => { for (const id of [...parts.keys()]) put(id); }, 0));

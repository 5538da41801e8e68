// Puts what the server sends into the page, and reads out when a run's state has changed. The page works without it.
"use strict";

const parts = new Map(); // id → HTML that waits until nobody is at work in that part
let states = null;

function isBusy(element) {
  const active = document.activeElement;
  if (active !== null && element.contains(active) && active.closest("form") !== null) return true;
  const selection = document.getSelection(); // what is being copied
  return selection !== null && !selection.isCollapsed && selection.containsNode(element, true);
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
  const scrolled = [...element.querySelectorAll(".wide")].map((wide) => [wide.id, wide.scrollLeft]);
  const folded = summary && element.contains(summary) ? summary.parentElement.id : "";
  element.innerHTML = parts.get(id);
  parts.delete(id);
  for (const name of open) document.getElementById(name)?.setAttribute("open", "");
  for (const [name, left] of scrolled) document.getElementById(name)?.scrollTo({ left });
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

function lost() {
  if (document.body.hasAttribute("data-lost")) return;
  document.body.setAttribute("data-lost", "");
  const told = document.createElement("p");
  told.className = "trouble";
  told.textContent = "The connection to evolve dashboard was lost: what stands here is old. "
    + "If it was started anew, open the URL that it printed.";
  document.getElementById("look")?.append(told);
  say(told.textContent);
}

function listen() {
  const source = new EventSource(document.body.dataset.live);
  source.onmessage = heard;
  source.onopen = () => document.body.removeAttribute("data-lost");
  source.onerror = () => {
    lost();
    // By itself a browser tries again where nobody answered, and not where somebody refused.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10_000);
  };
}

listen();
const late = () => setTimeout(() => { for (const id of [...parts.keys()]) put(id); }, 0);
document.addEventListener("focusout", late);
document.addEventListener("selectionchange", late);

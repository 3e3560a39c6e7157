// Live updates. Without this script every page shows what was true when it was made.
"use strict";
(() => {
  const words = [["year", 31536e6], ["month", 2592e6], ["day", 864e5], ["hour", 36e5], ["minute", 6e4], ["second", 1e3]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  // Times stand in the page as UTC; here they follow the viewer's clock.
  const times = () => {
    for (const el of document.querySelectorAll("time[data-ago]")) {
      const at = new Date(el.dateTime), ms = at - Date.now();
      const [unit, size] = words.find(([, size]) => Math.abs(ms) >= size) || ["second", 1e3];
      el.textContent = Math.abs(ms) < 5e3 ? "just now" : relative.format(Math.round(ms / size), unit);
      el.title = el.dateTime + " (here " + at.toLocaleString() + ")";
    }
  };
  times();
  setInterval(times, 15e3);

  const feed = document.getElementById("feed");
  const parts = document.querySelectorAll("[data-live]");
  const state = document.getElementById("live");
  if (!feed && !parts.length) return;
  const say = (text) => { if (state) state.textContent = text; };

  // A page shows one model, or all: its parts are asked for anew when an event of that model comes.
  let timer = 0, busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const el of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(el.id);
        if (now && !el.contains(document.activeElement)) el.replaceWith(now);
      }
      times();
    } catch { // the next event asks again
    } finally {
      busy = false;
      if (again) { again = false; soon(); }
    }
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, 150); };

  const show = (line) => {
    const item = document.createElement("template");
    item.innerHTML = line.html; // escaped by the server's templates
    const li = item.content.firstElementChild;
    if (!li || document.getElementById(li.id)) return;
    li.classList.add("new");
    feed.prepend(li);
    while (feed.children.length > 200) feed.lastElementChild.remove();
    const none = document.getElementById("no-event");
    if (none) none.remove();
    times();
  };

  let source = null;
  const start = () => {
    const from = document.body.dataset.position || "";
    source = new EventSource("/events/stream?from=" + encodeURIComponent(from));
    source.onopen = () => say("live");
    source.onerror = () => say("not live at the moment, trying again");
    source.addEventListener("fact", (e) => {
      const line = JSON.parse(e.data);
      document.body.dataset.position = e.lastEventId;
      if (feed && feed.dataset.skip !== line.type) show(line);
      for (const el of document.querySelectorAll("[data-live]")) {
        if (el.dataset.live === "" || el.dataset.live === line.model) { soon(); break; }
      }
    });
  };
  // A hidden page holds no connection; it resumes where it was.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { if (source) source.close(); source = null; } else if (!source) start();
  });
  if (!document.hidden) start();
})();

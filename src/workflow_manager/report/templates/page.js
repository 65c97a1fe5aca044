"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Commands get a button that copies them.
  const copy = async (code, button) => {
    const selection = getSelection();
    selection.selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  const offerCopies = (within) => {
    for (const code of all(".cmd>code:only-child", within)) {
      // Lines are broken between words, and within one only if it has a line to itself.
      code.replaceChildren(...code.textContent.split(/(?<= )/).map((word) => {
        const span = document.createElement("span");
        span.textContent = word;
        return span;
      }));
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.setAttribute("aria-label", "Copy the command");
      button.addEventListener("click", () => copy(code, button));
      code.after(button);
    }
  };
  all(".todo").forEach(offerCopies);
  document.addEventListener("toggle", (event) => {
    if (event.target.open) offerCopies(event.target);
  }, true);

  // Filter and sort.
  const items = all(".item").map((element, place) => ({
    element, place,
    names: all("h3 bdi,h4 bdi", element).map((name) => name.textContent).join("\n").toLowerCase(),
    codes: element.dataset.codes,
    newest: element.dataset.newest,
    due: element.dataset.due,
    rank: Math.min(99, ...[...element.dataset.codes].map((code) => "mlowdgfse".indexOf(code))),
    row: null,
  }));
  const rows = new Map(all(".heat tbody tr").map((row) => [row.querySelector("a").hash, row]));
  for (const item of items) {
    const target = item.element.id || item.element.querySelector(".body").id;
    item.row = rows.get(`#${target}`);
  }
  const newestFirst = (one, other) => (one < other) - (one > other);
  const orders = {
    place: () => 0,
    rank: (one, other) => one.rank - other.rank,
    newest: (one, other) => newestFirst(one.newest, other.newest),
    due: (one, other) => (one.due || "~") < (other.due || "~") ? -1 : Number((one.due || "~") > (other.due || "~")),
  };
  const list = byId("items");
  const show = () => {
    const wanted = byId("filter").value.trim().toLowerCase();
    const states = byId("state").value;
    let shown = 0;
    for (const item of items) {
      const matches = item.names.includes(wanted) && (!states || [...states].some((code) => item.codes.includes(code)));
      item.element.hidden = !matches;
      if (item.row) item.row.hidden = !matches;
      shown += matches;
    }
    byId("matching").textContent = `${shown} of ${items.length}`;
  };
  const sort = () => {
    const order = orders[byId("sort").value];
    items.sort((one, other) => order(one, other) || one.place - other.place);
    list.append(...items.map((item) => item.element));
    for (const item of items) if (item.row) item.row.parentNode.append(item.row);
  };
  byId("filter").addEventListener("input", show);
  byId("state").addEventListener("change", show);
  byId("sort").addEventListener("change", sort);
  byId("controls").hidden = items.length < 2;
  show();

  const unfold = byId("unfold");
  unfold.addEventListener("click", () => {
    const open = unfold.textContent === "Unfold all";
    for (const item of items) {
      if (item.element.hidden) continue;
      if (item.element.matches("details")) item.element.open = open;
      else for (const row of all(".row", item.element)) row.open = open;
    }
    unfold.textContent = open ? "Fold all" : "Unfold all";
  });

  // A link into an instance unfolds it.
  const reveal = () => {
    const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    const within = target && target.closest("details");
    if (within) {
      within.open = true;
      within.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();

  // A cell of the heat map says what it is about when it is pointed at.
  const startOf = (table, column) => {
    const [days, times] = table.tHead.rows;
    let left = column;
    const day = [...days.cells].slice(1).find((cell) => (left -= cell.colSpan) <= 0);
    return `${day.textContent} ${times.cells[column].textContent} h`;
  };
  document.addEventListener("mousemove", ({ target, offsetX }) => {
    if (!target.matches?.(".heat td[class]")) return;
    const cells = [...target.parentNode.cells];
    const before = cells.slice(1, target.cellIndex).reduce((sum, cell) => sum + cell.colSpan, 0);
    const within = Math.min(target.colSpan - 1, Math.floor((offsetX / target.offsetWidth) * target.colSpan));
    const state = getComputedStyle(target).getPropertyValue("--a").replaceAll('"', "");
    target.title = `${cells[0].textContent}, ${startOf(target.closest("table"), before + 1 + within)}: ${state}`;
  });
  for (const map of all(".heat")) map.parentNode.scrollLeft = map.parentNode.scrollWidth;

  const made = byId("made");
  const minutes = Math.floor((Date.now() - Date.parse(made.dataset.made)) / 60000);
  if (minutes >= 10) {
    const long = minutes < 120 ? `${minutes} minutes` : minutes < 2880 ? `${Math.floor(minutes / 60)} hours` : `${Math.floor(minutes / 1440)} days`;
    made.textContent = `This page was made ${long} ago.`;
  }
})();

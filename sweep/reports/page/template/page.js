"use strict";
// theme, copying, the table of trials, the charts: nothing else moves on this page
(() => {
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // --- dark or light: as the system has it, until the button is pressed
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = {
    get: () => { try { return localStorage.getItem("goldilocks-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("goldilocks-theme", value); } catch { /* then for this visit only */ } },
  };
  const theme = () => root.dataset.theme || (system.matches ? "dark" : "light");
  if (["dark", "light"].includes(remembered.get())) root.dataset.theme = remembered.get();
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    remembered.set(root.dataset.theme);
    drawAll();
  });
  system.addEventListener("change", () => drawAll());

  // --- copying a command
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }
  for (const button of all(".copy")) {
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      const done = await copy(button.dataset.copy);
      button.textContent = done ? "Copied" : "Select it";
      button.classList.toggle("done", done);
      setTimeout(() => { button.textContent = "Copy"; button.classList.remove("done"); }, 1600);
    });
  }

  // --- the table of trials: sorting by a header, filtering by words, stage and status
  const table = document.getElementById("table");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, order) => ({
      row, order, text: row.textContent.toLowerCase(), stage: row.dataset.stage, status: row.dataset.status,
    }));
    const heads = [...table.tHead.rows[0].cells];
    const value = (row, column) => {
      const cell = row.cells[column];
      const text = cell.dataset.v ?? cell.textContent.trim();
      if (text === "") return null;
      const number = Number(text);
      return Number.isNaN(number) ? text : number;
    };
    const compare = (a, b) =>
      typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keys = new Map(rows.map((entry) => [entry, value(entry.row, column)]));
      rows.sort((a, b) => {
        const [left, right] = [keys.get(a), keys.get(b)];
        // unknown values come last in either order
        if (left === null || right === null) return (left === null) - (right === null) || a.order - b.order;
        return (down ? -1 : 1) * compare(left, right) || a.order - b.order;
      });
      body.append(...rows.map((entry) => entry.row));
    }));
    const [words, stage, status, count] = ["filter", "stage", "status", "count"].map((id) => document.getElementById(id));
    const filter = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const entry of rows) {
        const fits = (!stage.value || entry.stage === stage.value) && (!status.value || entry.status === status.value)
          && wanted.every((word) => entry.text.includes(word));
        entry.row.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} of ${table.dataset.total} ${table.dataset.unit ?? "trials"}`;
    };
    for (const control of [words, stage, status]) for (const event of ["input", "change"]) control.addEventListener(event, filter);
    filter(); // a browser may have kept what was typed before a reload
  }

  // --- charts: colours are CSS variables (`var(--ink)`), resolved here for the present theme
  const figures = JSON.parse(document.getElementById("figures").textContent);
  // a chart may hold only its differences from another one
  function whole(name) {
    const { like, data, layout } = figures[name];
    if (!like) return { data, layout };
    const first = figures[like];
    return {
      data: data.map((trace, number) => ({ ...first.data[number], ...trace })),
      layout: { ...first.layout, ...layout },
    };
  }
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  function painter() {
    const known = new Map();
    const colour = (name) => {
      if (!known.has(name)) {
        probe.style.color = "";
        probe.style.color = name;
        known.set(name, getComputedStyle(probe).color);
      }
      return known.get(name);
    };
    const paint = (part) => {
      if (typeof part === "string") return part.startsWith("var(--") ? colour(part) : part;
      if (Array.isArray(part)) return part.map(paint);
      if (part === null || typeof part !== "object") return part;
      return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, paint(inner)]));
    };
    return paint;
  }
  const touch = matchMedia("(pointer: coarse)").matches;
  function draw(place, paint) {
    const { data, layout } = paint(whole(place.dataset.chart));
    layout.font = { ...layout.font, family: getComputedStyle(document.body).fontFamily };
    if (touch) layout.dragmode = false;
    if (place.clientWidth < 520) for (const trace of data) if (trace.meta === "wide") trace.visible = false;
    return Plotly.react(place, data, layout, {
      responsive: true,
      displaylogo: false,
      displayModeBar: touch ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "pan2d"],
      toImageButtonOptions: { format: "svg", filename: `goldilocks-${place.dataset.chart}` },
    });
  }
  async function drawAll() {
    const paint = painter();
    if (window.Plotly) for (const place of all("[data-chart]")) await draw(place, paint);
    root.dataset.drawn = theme();
  }
  for (const button of all("[data-shows]")) {
    button.addEventListener("click", () => {
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      const place = button.closest("figure").querySelector("[data-chart]");
      place.dataset.chart = button.dataset.shows;
      draw(place, painter());
    });
  }
  document.addEventListener("DOMContentLoaded", drawAll);
})();

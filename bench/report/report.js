"use strict";
// Sorting and filtering of the headline table, and tooltips of the figures.  Without it the page still reads.
(() => {
  const table = document.getElementById("runs");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];

  const value = (row, column) => row.cells[column].dataset.sort;
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((each) => each.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
      body.append(...(down ? rows.reverse() : rows));
    });
  });

  const policy = document.getElementById("filter-policy");
  const hardware = document.getElementById("filter-hardware");
  const filter = () => {
    let shown = 0;
    for (const row of body.rows) {
      const fits = (!policy.value || row.dataset.policy === policy.value) &&
        (!hardware.value || row.dataset.hardware === hardware.value);
      row.hidden = !fits;
      shown += fits;
    }
    document.getElementById("shown").textContent = `${shown} of ${body.rows.length} runs`;
  };
  policy.addEventListener("change", filter);
  hardware.addEventListener("change", filter);
  policy.form.addEventListener("reset", () => setTimeout(filter));
  policy.form.addEventListener("submit", (event) => event.preventDefault());
  // A browser may bring back what was chosen before.
  filter();

  // What is linked to inside of a closed part is opened.
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();

  const box = document.getElementById("tip");
  const aloud = document.getElementById("told");
  const NEAR = 22;
  let told = null;
  let byKey = false;
  const hide = () => {
    if (told) told.classList.remove("told");
    told = null;
    box.hidden = true;
  };
  const show = (point, x, y) => {
    if (told !== point) {
      hide();
      told = point;
      point.classList.add("told");
      box.textContent = point.dataset.tip;
      box.hidden = false;
    }
    const size = box.getBoundingClientRect();
    box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - size.width - 4))}px`;
    box.style.top = `${y - size.height - 12 < 4 ? y + 18 : y - size.height - 12}px`;
  };
  const middle = (point) => {
    const r = point.getBoundingClientRect();
    return [r.left + r.width / 2, r.top + r.height / 2];
  };
  for (const plot of document.querySelectorAll(".plot")) {
    const points = [...plot.querySelectorAll("[data-tip]")];
    const nearest = (x, y) => {
      let best = null, least = NEAR * NEAR;
      for (const point of points) {
        const [px, py] = middle(point);
        const far = (px - x) ** 2 + (py - y) ** 2;
        if (far < least) [best, least] = [point, far];
      }
      return best;
    };
    const look = (event) => {
      byKey = false;
      const at = event.target.closest("[data-tip]") || nearest(event.clientX, event.clientY);
      if (at) show(at, event.clientX, event.clientY);
      else hide();
    };
    plot.addEventListener("pointermove", look);
    plot.addEventListener("pointerdown", look);
    plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return hide();
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step || !points.length) return undefined;
      event.preventDefault();
      byKey = true;
      const at = points.indexOf(told);
      const point = points[(at < 0 ? (step > 0 ? 0 : points.length - 1) : at + step + points.length) % points.length];
      point.scrollIntoView({ block: "nearest", inline: "nearest" });
      show(point, ...middle(point));
      aloud.textContent = point.dataset.tip;
      return undefined;
    });
  }
  // A key may have scrolled a point into sight: its words go with it.
  addEventListener("scroll", () => {
    if (byKey && told) show(told, ...middle(told));
    else hide();
  }, { passive: true, capture: true });
})();

(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  // Without this script the browser's own tooltips show the same text.
  for (const title of document.querySelectorAll(".slot > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const hide = () => {
    tip.hidden = true;
    for (const slot of document.querySelectorAll(".slot.on")) slot.classList.remove("on");
  };
  // Above the drawing, or below where there is no room: never over its marks.
  const showSlot = (slot) => {
    hide();
    slot.classList.add("on");
    tip.hidden = false;
    tip.textContent = slot.dataset.tip;
    const { width, height } = tip.getBoundingClientRect();
    const at = slot.querySelector(".hit").getBoundingClientRect(), drawing = slot.closest("svg").getBoundingClientRect();
    const left = at.left + at.width / 2 - width / 2;
    tip.style.left = `${Math.min(Math.max(8, left), document.documentElement.clientWidth - width - 8)}px`;
    tip.style.top = `${at.top - height - 4 >= 4 ? at.top - height - 4 : drawing.bottom + 6}px`;
  };
  const show = (event) => {
    const slot = event.target instanceof Element && event.target.closest(".slot");
    if (slot) showSlot(slot);
    else hide();
  };
  addEventListener("pointermove", show);
  addEventListener("pointerdown", show);
  addEventListener("scroll", hide, { passive: true });
  // On a drawing in focus the arrows go from session to session.
  addEventListener("keydown", (event) => {
    const drawing = document.activeElement?.closest?.("svg.chart");
    if (!drawing) return;
    const slots = [...drawing.querySelectorAll(".slot")];
    const at = slots.findIndex((slot) => slot.classList.contains("on"));
    const to = { ArrowLeft: at < 0 ? slots.length - 1 : at - 1, ArrowRight: at + 1, Home: 0, End: slots.length - 1 }[event.key];
    if (event.key === "Escape") hide();
    if (to === undefined || !slots[to]) return;
    event.preventDefault();
    showSlot(slots[to]);
  });
  addEventListener("focusout", hide);
  for (const svg of document.querySelectorAll("svg.chart")) if (svg.querySelector(".slot")) svg.tabIndex = 0;
  const stale = document.getElementById("stale");
  if (stale && isStale(stale.dataset.session)) stale.hidden = false;
  addEventListener("beforeprint", () => {
    for (const closed of document.querySelectorAll("details")) closed.open = true;
  });
})();

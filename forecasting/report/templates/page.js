(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  // Without this script the browser's own tooltips show the same text.
  for (const title of document.querySelectorAll(".slot > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const slot = event.target instanceof Element && event.target.closest(".slot");
    tip.hidden = !slot;
    if (!slot) return;
    tip.textContent = slot.dataset.tip;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, event.clientX - width / 2), document.documentElement.clientWidth - width - 8);
    const above = event.clientY - height - 16;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 4 ? event.clientY + 20 : above}px`;
  };
  addEventListener("pointermove", show);
  addEventListener("pointerdown", show);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  addEventListener("beforeprint", () => {
    for (const closed of document.querySelectorAll("details")) closed.open = true;
  });
})();

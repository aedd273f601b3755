(() => {
  const table = document.getElementById("lines");
  if (!table) return;
  const byId = (id) => document.getElementById(id);
  const inputs = { find: byId("find"), target: byId("target"), state: byId("state") };
  const order = byId("order");
  const heads = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies];
  const rows = [...table.querySelectorAll("tr[data-session]")];
  let stale = 0;
  for (const row of rows) {
    const cell = row.lastElementChild;
    if (!isStale(row.dataset.session)) continue;
    stale += 1;
    if (cell.dataset.state === "stale") continue;
    cell.dataset.state += " stale";
    const mark = document.createElement("span");
    mark.className = "state bad";
    mark.textContent = cell.textContent.trim() === "ok" ? "stale" : ", stale";
    if (cell.textContent.trim() === "ok") cell.textContent = "";
    cell.append(mark);
  }
  if (stale) {
    byId("stale").textContent = `Stale: ${stale} of ${rows.length} forecasts are of a session that is over. Run the night, or open a newer copy of this page.`;
    byId("stale").hidden = false;
  }
  const state = { sort: "unusual", down: false }; // the order in which the rows are written
  const value = (row, at) => row.cells[at].dataset.sort ?? row.cells[at].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return a !== "" && b !== "" && !isNaN(x) && !isNaN(y) ? x - y : a.localeCompare(b);
  };
  const show = () => {
    const at = heads.findIndex((head) => head.dataset.key === state.sort);
    const sign = state.down ? -1 : 1;
    const sorted = at < 0 ? rows : [...rows].sort((a, b) => sign * compare(value(a, at), value(b, at)));
    for (const body of bodies) body.append(...sorted.filter((row) => row.parentNode === body));
    for (const head of heads) {
      if (head.dataset.key === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const wanted = inputs.find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits = (!wanted || row.cells[0].textContent.toLowerCase().includes(wanted))
        && (!inputs.target.value || row.dataset.target === inputs.target.value)
        && (!inputs.state.value || row.lastElementChild.dataset.state.includes(inputs.state.value));
      row.hidden = !fits;
      row.style.display = fits ? "" : "none";
      count += fits;
    }
    for (const body of bodies) body.hidden = [...body.rows].slice(1).every((row) => row.hidden);
    byId("none").hidden = count > 0;
    byId("shown").textContent = `${count} of ${rows.length} shown`;
    order.value = `${state.sort}${state.down ? " down" : ""}`;
  };
  const remember = () => {
    const parts = Object.entries(inputs).filter(([, input]) => input.value).map(([name, input]) => [name, input.value]);
    if (state.sort !== "unusual") parts.push(["sort", `${state.sort}${state.down ? "-" : ""}`]);
    history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
    show();
  };
  const recall = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const [name, input] of Object.entries(inputs)) input.value = asked.get(name) ?? "";
    const [, key, down] = (asked.get("sort") ?? "").match(/^(\w+)(-?)$/) ?? [];
    [state.sort, state.down] = key && heads.some((head) => head.dataset.key === key) ? [key, down === "-"] : ["unusual", false];
    show();
  };
  for (const head of heads.filter((cell) => cell.dataset.key)) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      state.down = state.sort === head.dataset.key && !state.down;
      state.sort = head.dataset.key;
      remember();
    });
    for (const [suffix, word] of [["", "ascending"], [" down", "descending"]]) {
      order.add(new Option(`${head.textContent.toLowerCase()}, ${word}`, head.dataset.key + suffix));
    }
  }
  order.addEventListener("change", () => {
    [state.sort, state.down] = [order.value.split(" ")[0], order.value.endsWith(" down")];
    remember();
  });
  for (const input of Object.values(inputs)) input.addEventListener("input", remember);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", recall);
  recall();
})();

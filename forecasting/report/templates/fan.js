// Draws any night of the page's data as it was issued: the fan of one forecaster after its past sessions, and its table.
(() => {
  const source = document.getElementById("nights");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const byId = (id) => document.getElementById(id);
  const controls = { night: byId("night"), model: byId("model"), past: byId("past-sessions") };
  const { unit } = data;
  const GAP = "\u00a0", DASH = "\u2013", TOP = 26, BOTTOM = 42, RIGHT = 8, COMING = 3.8;
  const BANDS = [["band90", 0, 6], ["band80", 1, 5], ["band50", 2, 4]];
  const LETTERS = { earnings: "E", "half day": "\u00bd" };
  const newest = data.nights.length - 1;

  const esc = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const fixed = (value, digits) => {
    if (!Number.isFinite(value)) return DASH;
    // toFixed rounds the number that is stored, as Python does: 8.225, a little less than that, to 8.22.
    return Number(value.toFixed(digits)).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "\u2212");
  };
  const number = (value) => fixed(value, unit.decimals);
  const span = (low, high) => `${number(low)}${DASH}${number(high)}`;
  const gap = unit.after && unit.after !== "%" ? GAP : "";
  const brief = (text) => unit.before + text + (gap + unit.after).replace(/.?shares$/, "");
  const withUnit = (text) => unit.before + text + gap + unit.after;
  const share = (value, digits) => {
    const text = fixed(100 * value, digits);
    return `${value > 0 && Number(text) !== 0 ? "+" : ""}${text.replace(/^\u2212(?=0(\.0*)?$)/, "")}%`;
  };
  const day = (iso, options) => new Date(`${iso}T00:00Z`).toLocaleDateString("en-GB", { timeZone: "UTC", ...options }).replace(",", "");
  const longDay = (iso) => day(iso, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  const shortDay = (iso) => day(iso, { weekday: "short", day: "numeric", month: "short" });
  const dayMonth = (iso) => day(iso, { day: "numeric", month: "short" });

  // The value at the origin; where it is unknown, the last known one before, as on the newest night.
  const lastOf = (night, basis) => {
    if (night.last !== null) return { at: night.origin, value: night.last };
    const at = data.values.findLastIndex((value, place) => value !== null && place < night.origin);
    return at < 0 ? { at: night.origin, value: NaN } : { at, value: data.values[at] * basis };
  };

  // What is drawn of a night: its past sessions on its own share basis, its forecasts, and the actuals known by now.
  const viewOf = (night, model, count) => {
    const basis = night.basis ?? 1;
    const first = Math.max(0, night.origin + 1 - count);
    const past = [];
    for (let at = first; at <= night.origin; at += 1) {
      if (data.values[at] !== null) past.push({ at, session: data.sessions[at], value: data.values[at] * basis });
    }
    const before = data.values.slice(0, night.origin + 1).filter((value) => value !== null).slice(data.from_zero ? -20 : -1).sort((a, b) => a - b);
    const usual = before.length ? (before[(before.length - 1) >> 1] + before[before.length >> 1]) / 2 * basis : NaN;
    const rows = night.forecasts[model || night.published].map((quantiles, place) => {
      const at = night.targets[place];
      const actual = data.values[at] === null || data.values[at] === undefined ? null : data.values[at] * basis;
      // The parts are those of what was published.
      const own = night.why && (!model || model === night.published) ? night.why : { brief: [] };
      return { at, session: data.sessions[at], quantiles, actual, why: own.brief[place] || "", against: own.against?.[place] };
    });
    return { past, rows, usual, last: lastOf(night, basis) };
  };
  const where = ({ actual, quantiles }) => {
    if (actual >= quantiles[1] && actual <= quantiles[5]) return "inside 80%";
    return actual >= quantiles[0] && actual <= quantiles[6] ? "outside 80%" : "outside 90%";
  };
  const notes = (at) => data.notes[at] ?? [];

  const axesOf = (values, width, height) => {
    const lowest = data.from_zero ? 0 : Math.min(...values), highest = Math.max(...values);
    const room = (highest - lowest || Math.abs(highest) || 1) * 0.06;
    const low = data.from_zero ? 0 : lowest - room, high = highest + room;
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.75);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= high / step + 1e-9; k += 1) ticks.push(k * step + 0); // no -0
    const digits = [0, 1, 2, 3, 4, 5, 6, 7, 8].find((d) => ticks.every((tick) => Math.abs(Number(tick.toFixed(d)) - tick) < step * 1e-6)) ?? 9;
    const labels = ticks.map((tick) => unit.before + fixed(tick, digits));
    const left = 14 + 6.4 * Math.max(...labels.map((label) => label.length));
    const floor = height - BOTTOM;
    return { width, height, left, right: width - RIGHT, floor, ticks, labels, y: (value) => floor - (value - low) / (high - low) * (floor - TOP) };
  };
  const line = (x1, y1, x2, y2, css) => `<line class="${css}" x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"/>`;
  const box = (x, y1, y2, width, css) => `<rect class="${css}" x="${x.toFixed(1)}" y="${Math.min(y1, y2).toFixed(1)}" width="${width.toFixed(1)}" height="${Math.max(Math.abs(y2 - y1), 0.5).toFixed(1)}"/>`;
  const words = (x, y, label, css) => `<text class="${css}" x="${x.toFixed(1)}" y="${y.toFixed(1)}">${esc(label)}</text>`;
  const path = (points, css, end = "") => `<path class="${css}" d="M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}${end}"/>`;
  const slot = (plot, x, width, tip, marks) => `<g class="slot" data-tip="${esc(tip.join("\n"))}">${marks}${box(x, TOP - 8, plot.floor, width, "hit")}</g>`;
  const letter = (at, x, y) => {
    const found = notes(at).find((note) => LETTERS[note]);
    return found ? words(x, Math.max(y, 14), LETTERS[found], "event middle") : "";
  };

  const grid = (plot) => (unit.before ? "" : words(0, 12, unit.name, "axis")) + plot.ticks.map((tick, place) => {
    const y = plot.y(tick);
    return line(plot.left, y, plot.right, y, tick === 0 ? "floor" : "grid") + words(plot.left - 6, y + 4, plot.labels[place], "axis end");
  }).join("");

  // Labels at even steps: every k-th week's first session, or every k-th month's where weeks are too close.
  const dates = (plot, past, step) => {
    const monday = ({ session }) => Math.floor((Date.parse(session) / 8.64e7 + 3) / 7);
    const month = ({ session }) => Number(session.slice(0, 4)) * 12 + Number(session.slice(5, 7));
    const weekly = 5 * step * 4 > 58, key = weekly ? monday : month;
    const every = Math.ceil(58 / ((weekly ? 5 : 21) * step));
    return past.map((one, place) => {
      const x = plot.left + (place + 0.5) * step;
      if (place === 0 || key(one) === key(past[place - 1]) || key(one) % every !== 0) return "";
      if (x + 26 > plot.left + past.length * step) return "";
      const label = weekly ? dayMonth(one.session) : day(one.session, { month: "short", year: "2-digit" });
      return words(x, plot.floor + 16, label, "axis middle") + line(x, plot.floor, x, plot.floor + 4, "floor");
    }).join("");
  };

  const pastSlots = (view, plot, step) => {
    const centres = view.past.map((_, place) => plot.left + (place + 0.5) * step);
    const curve = data.from_zero || !centres.length ? "" : path(view.past.map(({ value }, place) => [centres[place], plot.y(value)]), "history");
    return curve + view.past.map(({ at, session, value }, place) => {
      const x = centres[place], provisional = data.provisional.includes(at);
      const bar = data.from_zero ? box(x - step * 0.36, plot.y(value), plot.floor, step * 0.72, provisional ? "bar provisional" : "bar") : "";
      const tip = [longDay(session), withUnit(number(value)) + (provisional ? " (first print)" : ""), ...notes(at)];
      return slot(plot, x - step / 2, step, tip, bar + letter(at, x, plot.y(value) - 8));
    }).join("");
  };

  const actualMark = (row, plot, x) => {
    if (row.actual === null) return "";
    const y = plot.y(row.actual), found = where(row);
    if (found === "inside 80%") return `<circle class="dot" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4"/>`;
    if (found === "outside 80%") return path([[x, y - 5], [x + 5, y], [x, y + 5], [x - 5, y]], "diamond", "Z");
    return line(x - 4, y - 4, x + 4, y + 4, "cross") + line(x - 4, y + 4, x + 4, y - 4, "cross");
  };

  const comingSlots = (view, plot, start, step) => {
    const centres = view.rows.map((_, place) => start + (place + 0.5) * step);
    const before = Number.isFinite(view.last.value) ? [[start - 4, plot.y(view.last.value)]] : [];
    const edge = (level) => [...before, ...view.rows.map((row, place) => [centres[place], plot.y(row.quantiles[level])])];
    const fan = data.from_zero ? "" : BANDS.map(([css, low, high]) => path([...edge(low), ...edge(high).reverse()], css, "Z")).join("") + path(edge(3), "median");
    return fan + view.rows.map((row, place) => {
      const x = centres[place], q = row.quantiles, left = x - step / 2 + 1, wide = step - 2;
      const steps = data.from_zero ? BANDS.map(([css, low, high]) => box(left, plot.y(q[low]), plot.y(q[high]), wide, css)).join("") + line(left, plot.y(q[3]), left + wide, plot.y(q[3]), "median") : "";
      const label = number(q[3]);
      const value = step > 7.5 * label.length && row.actual === null ? words(x, plot.y(q[3]) - 5, label, "value middle") : "";
      const below = step > 36 ? [day(row.session, { weekday: "short" }), dayMonth(row.session)] : [day(row.session, { weekday: "short" }).slice(0, 2), day(row.session, { day: "numeric" })];
      const name = words(x, plot.floor + 16, below[0], "axis strong middle") + words(x, plot.floor + 30, below[1], "axis strong middle");
      const tip = [longDay(row.session), `median ${withUnit(number(q[3]))}`, ...BANDS.map(([css, low, high]) => `${css.slice(4)}% ${withUnit(span(q[low], q[high]))}`).reverse()];
      if (row.actual !== null) tip.push(`actual ${withUnit(number(row.actual))}, ${where(row)}`);
      if (row.why) tip.push(row.why);
      return slot(plot, x - step / 2, step, [...tip, ...notes(row.at)], steps + value + actualMark(row, plot, x) + letter(row.at, x, plot.y(q[6]) - 6) + name);
    }).join("");
  };

  const draw = (view, label) => {
    const narrow = matchMedia("(max-width: 639px)").matches;
    const [width, height] = narrow ? [360, 300] : [1000, 380];
    const values = [...view.past.map(({ value }) => value), view.usual, view.last.value, ...view.rows.flatMap(({ quantiles, actual }) => [quantiles[0], quantiles[6], ...(actual === null ? [] : [actual])])].filter(Number.isFinite);
    const plot = axesOf(values, width, height);
    const step = (plot.right - plot.left - 4) / (view.past.length + COMING * view.rows.length);
    const start = plot.left + view.past.length * step + 4;
    const usual = data.from_zero && Number.isFinite(view.usual) ? line(plot.left, plot.y(view.usual), plot.right, plot.y(view.usual), "usual") : "";
    const marks = box(start, TOP - 8, plot.floor, plot.right - start, "coming") + words(plot.right - 4, TOP - 12, "forecast", "axis end") + grid(plot) + usual
      + pastSlots(view, plot, step) + comingSlots(view, plot, start, COMING * step) + dates(plot, view.past, step);
    byId("fan-chart").innerHTML = `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" tabindex="0" aria-label="${esc(label)}">${marks}</svg>`;
  };

  const fill = (view) => {
    byId("forecasts").classList.toggle("with-actual", view.rows.some(({ actual }) => actual !== null));
    byId("forecasts").tBodies[0].innerHTML = view.rows.map(({ at, session, quantiles: q, actual, why, against }) => {
      const tags = notes(at).map((note) => ` <span class="tag">${esc(note)}</span>`).join("");
      const cells = [["Median", "median", number(q[3])], ["Against usual", "", against || (view.usual && data.from_zero ? share(q[3] / view.usual - 1, 0) : DASH)], ["50%", "", span(q[2], q[4])], ["80%", "", span(q[1], q[5])], ["90%", "", span(q[0], q[6])]];
      cells.push(["Actual", "actual", actual === null ? "" : `${number(actual)}, ${where({ actual, quantiles: q })}`]);
      return `<tr><th scope="row"><time datetime="${session}">${shortDay(session)}</time>${tags}</th>${cells.map(([label, css, text]) => `<td class="n ${css}" data-label="${label}">${text}</td>`).join("")}<td class="across" data-label="Why">${esc(why)}</td></tr>`;
    }).join("");
  };

  // The forecasts shown, in the target's own unit, for page.js to download: columns as in `show --csv` where it has them.
  const QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"];
  const setCsv = (night, view, model) => {
    const rounded = (value) => Number.isFinite(value) ? Number(value.toPrecision(7)) : "";
    const own = (value) => value === null ? "" : rounded(value * unit.scale);
    const quoted = (text) => /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    const origin = data.sessions[night.origin];
    const head = ["symbol", "target", "origin_session", "target_session", "horizon", ...QUANTILES, "last_value", "kind", "usual", "vs_usual", "special_day", "forecaster", "issued_at", "actual"];
    const rows = view.rows.map(({ at, session, quantiles, actual }, place) => [data.symbol, data.target, origin, session, place + 1, ...quantiles.map(own), own(night.last), night.kind, own(view.usual), rounded(quantiles[3] / view.usual - 1), notes(at).join(", "), model || night.published, night.issued, own(actual)]);
    const name = model ? `forecasts-${model}` : "forecasts";
    Object.assign(byId("forecasts").dataset, { night: origin, name, csv: [head, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("") });
  };

  // The parts of the first median as a sentence, and a bar a factor, right of the line of 1 where it raises it.
  const explain = ({ why }) => {
    const part = byId("why");
    if (part) part.hidden = !why;
    if (!part || !why) return;
    part.querySelector("p").textContent = `${[why.usual, ...why.factors.map(([name, factor]) => `${name} x${fixed(factor, 2)}`)].join("; ")}.`;
    const limit = Math.max(...why.factors.map(([, factor]) => Math.abs(Math.log(factor))));
    const bars = why.factors.map(([name, factor], place) => {
      const y = place * 20 + 3, end = 295 + 70 * Math.log(factor) / limit;
      const bar = box(Math.min(295, end), y, y + 14, Math.max(Math.abs(end - 295), 1), factor > 1 ? "gain" : "bar");
      return words(0, y + 12, name, "") + bar + words(420, y + 12, `x${fixed(factor, 2)}`, "value end");
    });
    const height = 20 * bars.length + 4;
    part.querySelector("figure").innerHTML = bars.length ? `<svg class="chart why" viewBox="0 0 420 ${height}" role="img" aria-label="Its factors">${line(295, 0, 295, height, "floor")}${bars.join("")}</svg>` : "";
  };

  // The sentence at the top, and what the medians are compared with, of the night that is picked.
  const headline = byId("headline"), written = headline.innerHTML;
  const against = (value, other) => {
    if (!other) return "against";
    const digits = data.from_zero ? 0 : 1, change = fixed(100 * Math.abs(value / other - 1), digits);
    return Number(change) === 0 ? "about the same as" : `${change}% ${value > other ? "above" : "below"}`;
  };
  const head = (night, view, isNewest) => {
    const row = view.rows[0], q = row.quantiles, { at } = view.last;
    byId("night-of").textContent = longDay(data.sessions[night.origin]);
    for (const part of document.querySelectorAll(".newest-only")) part.hidden = !isNewest;
    headline.innerHTML = isNewest ? written
      : `${esc(data.subject)} <strong>${withUnit(number(q[3]))}</strong> on ${longDay(row.session)} (80% interval <span class="keep">${brief(span(q[1], q[5]))}</span>)<span class="rest">, ${against(q[3], view.usual)} ${data.from_zero ? "the usual" : "the last close,"} ${brief(number(view.usual))}${row.actual === null ? "" : `; it came to ${brief(number(row.actual))}`}.</span>`;
    byId("usual").textContent = `Usual is ${withUnit(number(view.usual))}, the ${data.from_zero ? "median of the last 20 sessions up to" : "close of"} ${data.sessions[at]}${data.provisional.includes(at) ? ", a first print" : ""}.`;
  };

  const show = () => {
    const place = controls.night.selectedIndex < 0 ? newest : Number(controls.night.value);
    const night = data.nights[place];
    for (const option of controls.model.options) option.disabled = option.value !== "" && !(option.value in night.forecasts);
    if (controls.model.selectedOptions[0].disabled) controls.model.value = "";
    const view = viewOf(night, controls.model.value, Number(controls.past.value));
    const origin = data.sessions[night.origin], row = view.rows[0];
    const who = controls.model.value ? controls.model.selectedOptions[0].textContent : `Published (${data.forecasters[night.published]})`;
    const text = `Night of ${longDay(origin)}, ${night.kind}, issued ${night.issued.replace("T", " ").slice(0, 16)} UTC. ${who[0].toUpperCase()}${who.slice(1)}: median ${withUnit(number(row.quantiles[3]))} for ${shortDay(row.session)}, 80% interval ${withUnit(span(row.quantiles[1], row.quantiles[5]))}`
      + (row.actual === null ? "." : `; actual ${withUnit(number(row.actual))}, ${where(row)}.`) + (night.reason ? ` The network was not published: ${night.reason}.` : "");
    byId("as-issued").textContent = text;
    byId("coming").textContent = place === newest ? `The next ${view.rows.length} sessions` : `The ${view.rows.length} sessions after ${shortDay(origin)} ${origin.slice(0, 4)}`;
    head(night, viewOf(night, "", 20), place === newest);
    explain(night);
    byId("older").disabled = place === 0;
    byId("newer").disabled = place === newest;
    draw(view, `${text} The chart shows ${view.past.length} past sessions and ${view.rows.length} forecast; the table has the forecasts.`);
    fill(view);
    setCsv(night, view, controls.model.value);
  };
  const remember = () => {
    byId("no-night").hidden = true;
    const parts = [];
    if (Number(controls.night.value) !== newest) parts.push(["night", data.sessions[data.nights[Number(controls.night.value)].origin]]);
    if (controls.model.value) parts.push(["model", controls.model.value]);
    if (controls.past.value !== "60") parts.push(["past", controls.past.value]);
    history.replaceState(null, "", parts.length ? `#${new URLSearchParams(parts)}` : location.pathname);
    show();
  };
  const recall = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const place = data.nights.findIndex((night) => data.sessions[night.origin] === asked.get("night"));
    controls.night.value = String(place < 0 ? newest : place);
    byId("no-night").textContent = `No night of ${asked.get("night")} on this page; the newest is shown.`;
    byId("no-night").hidden = place >= 0 || !asked.has("night");
    const has = (select, value) => [...select.options].some((option) => option.value === value);
    controls.model.value = has(controls.model, asked.get("model")) ? asked.get("model") : "";
    controls.past.value = has(controls.past, asked.get("past")) ? asked.get("past") : matchMedia("(max-width: 639px)").matches ? "20" : "60";
    show();
  };
  const go = (by) => {
    controls.night.value = String(Math.min(newest, Math.max(0, Number(controls.night.value) + by)));
    remember();
  };

  data.nights.forEach((night, place) => {
    const origin = data.sessions[night.origin];
    controls.night.prepend(new Option(`${shortDay(origin)} ${origin.slice(0, 4)}${night.kind === "live" ? "" : `, ${night.kind}`}${place === newest ? " (newest)" : ""}`, String(place)));
  });
  for (const select of Object.values(controls)) select.addEventListener("change", remember);
  byId("older").addEventListener("click", () => go(-1));
  byId("newer").addEventListener("click", () => go(1));
  addEventListener("hashchange", recall);
  matchMedia("(max-width: 639px)").addEventListener("change", show);
  recall();
})();

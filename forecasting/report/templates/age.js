// How old a page's data is, by the reader's clock: a page on a disk or a server cannot tell otherwise that it is old.
const ageOf = (session) => {
  const days = Math.max(0, Math.floor((Date.now() - Date.parse(session)) / 8.64e7));
  return days === 1 ? "1 day old" : `${days} days old`;
};
// From noon UTC of the day after the session that is forecast: by then the next night is due anywhere.
const isStale = (session) => Date.now() > Date.parse(session) + 1.5 * 8.64e7;
for (const time of document.querySelectorAll("time")) {
  const year = time.dateTime.slice(0, 4);
  if (Number(year) !== new Date().getFullYear() && !time.textContent.includes(year)) time.append(` ${year}`);
}
for (const time of document.querySelectorAll("time[data-age]")) time.append(`, ${ageOf(time.dateTime)}`);

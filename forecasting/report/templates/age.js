// How old a page's data is, by the reader's clock: a page on a disk or a server cannot tell otherwise that it is old.
const ageOf = (session) => {
  // From the end of the session's day, UTC: every exchange has closed by then.
  const days = Math.max(0, Math.floor((Date.now() - Date.parse(session)) / 8.64e7) - 1);
  if (days < 100) return days === 1 ? "1 day old" : `${days} days old`;
  return `${(days / 365.25).toFixed(1)} years old`;
};
// From noon UTC of the day after the session that is forecast: by then the next night is due anywhere.
const isStale = (session) => Date.now() > Date.parse(session) + 1.5 * 8.64e7;
for (const time of document.querySelectorAll("time[data-age]")) time.append(`, ${ageOf(time.dateTime)}`);

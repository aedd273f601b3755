// A table as CSV (RFC 4180), to read in Excel: the rows that are shown, as text; a cell's data-csv comes before its text.
const csvOf = (table) => {
  const text = (cell) => cell.dataset.csv ?? cell.textContent.trim().replace(/\s+/g, " ").replace(/\u2212/g, "-");
  const quoted = (value) => /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const shown = [...table.rows].filter((row) => !row.hidden);
  return "\ufeff" + shown.map((row) => [...row.cells].map((cell) => quoted(text(cell))).join(",")).join("\r\n") + "\r\n";
};
const download = (name, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

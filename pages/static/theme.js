// Runs before the page is drawn, so that no page flashes in the wrong theme.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const kept = localStorage.getItem("theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch {
    // A browser that keeps nothing follows the system.
  }
})();

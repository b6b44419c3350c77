// What the pages gain from a script: the theme, the menu on a phone, and copying. All reads without.

const root = document.documentElement;

function startTheme() {
  const button = document.querySelector(".theme");
  if (!button) return;
  const names = { system: "as the system has it", light: "light", dark: "dark" };
  const now = () => root.dataset.theme ?? "system";
  const tell = () => {
    button.setAttribute("aria-label", `Theme: ${names[now()]}`);
    button.title = `Theme: ${names[now()]}`;
  };
  const set = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", theme);
    } catch {
      // It holds for this page then.
    }
    tell();
  };
  button.addEventListener("click", () => {
    const order = ["system", "light", "dark"];
    set(order[(order.indexOf(now()) + 1) % order.length]);
  });
  // Pages in other tabs follow.
  addEventListener("storage", (event) => {
    if (event.key !== "theme") return;
    if (event.newValue === "light" || event.newValue === "dark") root.dataset.theme = event.newValue;
    else delete root.dataset.theme;
    tell();
  });
  tell();
}

function startMenu() {
  const menu = document.getElementById("menu");
  if (!menu) return;
  const current = menu.querySelector("[aria-current]");
  if (current) {
    // The menu stays where the reader left it as long as the current page is in sight there.
    try {
      menu.scrollTop = Number(sessionStorage.getItem("menu"));
      addEventListener("pagehide", () => sessionStorage.setItem("menu", menu.scrollTop));
    } catch {
      // It begins at the current page then.
    }
    const place = current.getBoundingClientRect();
    const frame = menu.getBoundingClientRect();
    if (place.top < frame.top + 20 || place.bottom > frame.bottom - 20) {
      menu.scrollTop += place.top - frame.top - frame.height / 3;
    }
  }

  const button = document.querySelector(".menu-button");
  const toggle = (open, focused = open ? (current ?? menu) : button) => {
    root.classList.toggle("menu-open", open);
    button.setAttribute("aria-expanded", String(open));
    focused?.focus({ preventScroll: !open });
  };
  const opened = () => root.classList.contains("menu-open");
  button.addEventListener("click", () => toggle(!opened()));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened()) toggle(false);
  });
  // Whoever goes on to another part of the page has done with the menu.
  menu.addEventListener("focusout", ({ relatedTarget: next }) => {
    if (opened() && next && !menu.contains(next) && next !== button) toggle(false, null);
  });
  document.addEventListener("click", (event) => {
    if (opened() && !menu.contains(event.target) && !button.contains(event.target)) toggle(false);
  });
  matchMedia("(min-width: 60rem)").addEventListener("change", (event) => {
    if (event.matches && opened()) toggle(false);
  });
}

/** Give a block a button that copies `text()`. */
export function addCopy(block, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    button.classList.add("done");
    setTimeout(() => {
      button.textContent = "Copy";
      button.classList.remove("done");
    }, 1500);
  });
  block.append(button);
}

function startCopying() {
  for (const block of document.querySelectorAll(".code")) {
    addCopy(block, () => block.querySelector("pre").innerText);
  }
  for (const block of document.querySelectorAll("[data-copy]")) {
    addCopy(block, () => block.dataset.copy);
  }
}

startTheme();
startMenu();
startCopying();
// The playground turns pages inside the document, so that a credential in memory survives.
document.addEventListener("rensei:page", startCopying);

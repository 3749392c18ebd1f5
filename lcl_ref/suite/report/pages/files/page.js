// Every page: its data, and the choice of colours.

const data = JSON.parse(document.getElementById("data").textContent);

const THEMES = { auto: "automatic", light: "light", dark: "dark" };

function remembered() {
  try {
    return localStorage.getItem("lcl-theme");
  } catch {
    return null; // a page from a file may have no storage
  }
}

function remember(theme) {
  try {
    localStorage.setItem("lcl-theme", theme);
  } catch {
    // The choice then lasts as long as the page.
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = `Colours: ${THEMES[theme]}`;
}

function startPage() {
  document.documentElement.classList.add("scripts");
  const names = Object.keys(THEMES);
  const button = document.getElementById("theme");
  const first = remembered();
  setTheme(names.includes(first) ? first : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    setTheme(next);
    remember(next);
  });
  for (const time of document.querySelectorAll("time")) {
    const days = Math.floor((Date.now() - Date.parse(time.dateTime)) / 864e5);
    if (days >= 0) time.after(days === 0 ? " (today)" : days === 1 ? " (a day ago)" : ` (${days} days ago)`);
  }
}

startPage();

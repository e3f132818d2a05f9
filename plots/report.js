const root = document.documentElement, button = document.querySelector("button.scheme");
const dark = () => root.dataset.scheme ? root.dataset.scheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const name = () => { button.textContent = dark() ? "light page" : "dark page"; };
button.hidden = false;
button.addEventListener("click", () => { root.dataset.scheme = dark() ? "light" : "dark"; name(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
name();

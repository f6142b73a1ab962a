// An engine's button shows and hides its bars and dots.
document.querySelectorAll("button[data-engine]").forEach((button) => {
  button.addEventListener("click", () => {
    const off = button.classList.toggle("off");
    const engine = button.dataset.engine;
    document.querySelectorAll(`[data-engine="${engine}"]:not(button)`).forEach((part) => {
      part.classList.toggle("off", off);
    });
  });
});

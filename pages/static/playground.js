// The button of the playground. All that it opens is loaded when it is first pressed.

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.(".playground > .try");
  if (!button) return;
  try {
    const { toggle } = await import("./playground/panel.js");
    await toggle(button);
  } catch {
    button.textContent = "It could not be loaded; press to try again";
  }
});

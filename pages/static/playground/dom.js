// Elements without HTML: whatever comes from the contract or a server stays text.

let made = 0;

/** An id that nothing else on the page has. */
export const newId = (name) => `playground-${name}-${++made}`;

/** An element with properties, `on` listeners, attributes and children; null children are left out. */
export function el(name, { on = {}, attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const [type, listener] of Object.entries(on)) element.addEventListener(type, listener);
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined));
  return element;
}

/** A button that copies what `text` answers at the time, and says so. */
export function copyButton(label, text) {
  const button = el("button", {
    type: "button",
    className: "button quiet",
    textContent: label,
    on: {
      click: async () => {
        let said = "Copied";
        try {
          await navigator.clipboard.writeText(text());
        } catch {
          // Without https there is no clipboard; what is shown can be copied by hand.
          said = "Select it and copy";
        }
        button.textContent = said;
        setTimeout(() => (button.textContent = label), 1500);
      },
    },
  });
  return button;
}

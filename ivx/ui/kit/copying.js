// Two buttons for the clipboard: the picture, which the server draws when it is asked for, and the address of this view.

const PATIENCE = 60000; // milliseconds for the server to draw

export default function ({ parentElement, data, setTriggerValue }) {
  const [image, link] = parentElement.querySelectorAll("button");
  const said = parentElement.querySelector("span");
  const say = (text) => (said.textContent = text);
  const waiting = (image.waiting ??= {});
  if (data.png && waiting.drawn && data.asked === waiting.asked) {
    waiting.drawn(blob(data.png));
    waiting.drawn = null;
  }
  // A browser lets a page write only from a click, and only where the connection is its own machine's or encrypted.
  const able = () => navigator.clipboard?.write ?? say("This browser lets no page copy over plain HTTP: save the PNG.");
  image.onclick = () => {
    if (!able()) return;
    waiting.asked = Date.now();
    const drawn = new Promise((resolve, reject) => {
      waiting.drawn = resolve;
      setTimeout(reject, PATIENCE);
    });
    say("Drawing …");
    setTriggerValue("asked", waiting.asked);
    const done = navigator.clipboard.write([new ClipboardItem({ "image/png": drawn })]);
    done.then(() => say("Image copied"), () => say("The browser did not let it be copied: save the PNG."));
  };
  link.onclick = () => {
    if (!able()) return;
    const done = navigator.clipboard.writeText(location.href);
    done.then(() => say("Link copied"), () => say("The browser did not let it be copied: take it from the address bar."));
  };
}

function blob(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

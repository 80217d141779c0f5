"use strict";
// The worker does the heavy work, so that the page stays responsive. Its code is text in the page: a file cannot load
// other files, and the content security policy allows no request.

const byId = (id) => document.getElementById(id);
const worker = { waiting: new Map(), count: 0, thread: null };

// Take a text out of the page: the browser needs the memory of the large ones for photos.
function takeText(id) {
  const element = byId(id), text = element.textContent;
  element.remove();
  return text;
}

function startWorker() {
  const lacking = [["WebAssembly", "WebAssembly"], ["DecompressionStream", "decompression"], ["OffscreenCanvas", "drawing in the background"]].filter(([name]) => !(name in window));
  if (lacking.length) throw new Error(`This browser is too old for this page: it has no ${lacking.map(([, title]) => title).join(" and no ")}. Use a newer browser.`);
  if (!window.isSecureContext) throw new Error("Open this page as a file on your device, or over https. Over http, browsers forbid what it needs.");
  const address = URL.createObjectURL(new Blob([takeText("worker-source")], { type: "text/javascript" }));
  worker.thread = new Worker(address);
  worker.thread.addEventListener("message", ({ data: { id, ...answer } }) => {
    worker.waiting.get(id)(answer);
    worker.waiting.delete(id);
  });
  worker.thread.addEventListener("error", (event) => {
    event.preventDefault();
    for (const resolve of worker.waiting.values()) resolve({ error: event.message || "this browser does not run the page's worker. Use another browser." });
    worker.waiting.clear();
  });
  return ask("start", { wasm: takeText("wasm"), model: takeText("model"), facts: JSON.parse(byId("facts").textContent) });
}

// The worker's answer to a request; throws an Error with a text for people.
async function ask(op, request = {}) {
  const id = ++worker.count;
  const answer = await new Promise((resolve) => {
    worker.waiting.set(id, resolve);
    worker.thread.postMessage({ id, op, ...request });
  });
  if (answer.error) throw new Error(answer.error);
  return answer;
}

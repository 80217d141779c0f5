// What the page does with what a person does: photos in, settings, downloads, messages.

const state = { photos: [], shown: null, count: 0, isBatchRunning: false }; // photos: { number, file, button }

const settings = () => ({ strength: Number(byId("strength").value) / 100, temperature: byId("temperature") ? Number(byId("temperature").value) : null });
const say = (text) => { byId("status").textContent = text; };

// A name for the status, which must not cover the page: at most 40 characters.
function short(name) {
  const characters = [...name];
  return characters.length > 40 ? [...characters.slice(0, 24), "…", ...characters.slice(-15)].join("") : name;
}

// A message that stays until the next photos come.
function complain(name, error) {
  const line = document.createElement("li"), title = document.createElement("bdi");
  title.textContent = name;
  line.append(title, ": ", error.message);
  byId("problems").append(line);
  line.scrollIntoView({ block: "nearest" }); // the buttons may be far below
}

function fail(error) {
  byId("failure").textContent = error.message;
  byId("failure").hidden = false;
  byId("choose").disabled = true;
  say("");
}

// Read files, and show the first one that can be read.
async function add(files) {
  let isShown = false;
  byId("problems").replaceChildren();
  for (const [n, file] of [...files].entries()) {
    say(`Reading ${n + 1} of ${files.length}: ${short(file.name)}`);
    try {
      await state.ready;
      const { thumbnail } = await ask("check", { file });
      const photo = { number: ++state.count, file };
      state.photos.push(photo);
      list(photo, thumbnail);
      if (!isShown) await show(photo);
      isShown = true;
    } catch (error) {
      complain(file.name, error);
    }
  }
  if (files.length > 1 || !isShown) sayHowMany();
}

function sayHowMany() {
  const { length } = state.photos;
  say(length > 1 ? `${length} photos are here. ${state.shown ? "One of them is shown; choose another one below." : "Choose one below."}` : length ? "One photo is here." : "");
}

// Add a photo to the list: a button that shows it, with a small picture.
function list(photo, thumbnail) {
  const item = document.createElement("li"), canvas = document.createElement("canvas"), name = document.createElement("bdi");
  photo.button = document.createElement("button");
  photo.button.type = "button";
  name.textContent = photo.file.name;
  canvas.setAttribute("aria-hidden", "true");
  [canvas.width, canvas.height] = [thumbnail.width, thumbnail.height];
  canvas.getContext("2d").drawImage(thumbnail, 0, 0);
  photo.button.append(canvas, name);
  photo.button.addEventListener("click", () => show(photo));
  item.append(photo.button);
  byId("photos").append(item);
  byId("batch").hidden = state.photos.length < 2;
  byId("batch-title").textContent = `All ${state.photos.length} photos`;
}

async function show(photo) {
  const { name } = photo.file;
  say(`Coloring ${short(name)}`);
  state.shown = photo;
  for (const one of state.photos) one.button.setAttribute("aria-pressed", String(one === photo));
  try {
    const opened = await ask("open", { number: photo.number, file: photo.file });
    if (state.shown !== photo) return; // another one was chosen in the meantime
    byId("work").hidden = false;
    byId("name").textContent = name;
    byId("size").textContent = `${opened.width} × ${opened.height} pixels`;
    viewer.show(byId("before"), opened.before);
    await redraw();
    say(`${short(name)} is colored.`);
    if (byId("sure")) await saySure(photo);
  } catch (error) {
    state.shown = null;
    byId("work").hidden = true;
    say("");
    complain(name, error);
  }
}

async function saySure({ number }) {
  byId("hesitates").textContent = "";
  const { entropy } = await ask("sure", { number });
  if (entropy !== undefined) byId("hesitates").textContent = `In this photo, the model hesitates between ${numColors(entropy)} per pixel, on average.`;
}

const endings = { "image/jpeg": "jpg", "image/png": "png" };
const resultName = (name, type) => `${name.replace(/\.[^.]*$/, "")}-color.${endings[type]}`;

async function save(photo, type) {
  const { blob, isFlattened } = await ask("save", { number: photo.number, file: photo.file, settings: settings(), type });
  if (isFlattened) complain(photo.file.name, new Error("a JPEG has no transparency, so transparent pixels became white. PNG keeps them."));
  return blob;
}

// The browser saves a file, in its folder for downloads.
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function saveShown(type) {
  const photo = state.shown, name = resultName(photo.file.name, type);
  say(`Coloring ${short(photo.file.name)} in full size`);
  try {
    download(await save(photo, type), name);
    say(`${short(name)} is saved.`);
  } catch (error) {
    say(`${short(name)} is not saved.`);
    complain(photo.file.name, error);
  }
}

// Color all photos with the current settings, and save them as one zip file.
async function saveAll() {
  const type = byId("batch-type").value, photos = [...state.photos], entries = [], used = new Set();
  byId("problems").replaceChildren();
  setBatch(true);
  for (const [n, photo] of photos.entries()) {
    if (!state.isBatchRunning) break;
    byId("progress").value = n / photos.length;
    say(`Coloring ${n + 1} of ${photos.length}: ${short(photo.file.name)}`);
    try {
      entries.push({ name: unusedName(resultName(photo.file.name, type), used), blob: await save(photo, type) });
    } catch (error) {
      complain(photo.file.name, error);
    }
  }
  const isStopped = !state.isBatchRunning;
  setBatch(false);
  if (isStopped || !entries.length) return say(isStopped ? "Stopped. Nothing was saved." : "No photo could be colored.");
  try {
    download((await ask("zip", { entries })).blob, "colored-photos.zip");
    say(`${entries.length} of ${photos.length} photos are saved in colored-photos.zip.`);
  } catch (error) {
    complain("colored-photos.zip", error);
  }
}

function unusedName(name, used) {
  let found = name;
  for (let n = 2; used.has(found.toLowerCase()); n++) found = name.replace(/(\.[^.]*)$/, `-${n}$1`);
  used.add(found.toLowerCase());
  return found;
}

function setBatch(isRunning) {
  state.isBatchRunning = isRunning;
  byId("save-all").disabled = isRunning;
  byId("stop").hidden = byId("progress").hidden = !isRunning;
}

function showSettings() {
  byId("strength-value").textContent = `${byId("strength").value} %`;
  if (byId("temperature")) byId("temperature-value").textContent = Number(byId("temperature").value).toFixed(2);
  redraw();
}

function listen() {
  byId("choose").disabled = false;
  const filesOf = (transfer) => [...(transfer ? transfer.files : [])];
  byId("choose").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
  document.addEventListener("paste", (event) => { if (filesOf(event.clipboardData).length) add(filesOf(event.clipboardData)); });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    if (filesOf(event.dataTransfer).length) add(filesOf(event.dataTransfer));
  });
  for (const name of ["strength", "temperature"]) if (byId(name)) byId(name).addEventListener("input", showSettings);
  byId("restore").addEventListener("click", () => { byId("settings").reset(); showSettings(); toggleScale(); });
  if (byId("sure")) byId("sure").addEventListener("change", () => { toggleScale(); redraw(); });
  byId("save-jpeg").addEventListener("click", () => saveShown("image/jpeg"));
  byId("save-png").addEventListener("click", () => saveShown("image/png"));
  byId("save-all").addEventListener("click", saveAll);
  byId("stop").addEventListener("click", () => { state.isBatchRunning = false; });
}

function toggleScale() {
  if (!byId("sure")) return;
  byId("scale").hidden = !byId("sure").checked;
  byId("right").textContent = byId("sure").checked ? "right: how sure the model is" : "right: colored";
}

viewer.start();
listen();
showSettings();
say("Loading the model");
try {
  state.ready = startWorker().then(() => { document.body.dataset.state = "ready"; if (!state.count) say("The model is ready."); });
} catch (error) {
  state.ready = Promise.reject(error);
}
state.ready.catch(fail);

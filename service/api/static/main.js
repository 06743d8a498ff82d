/** The page: what is dropped is sent as the form says, and all jobs are listed. Here its parts are put together. */

import {listModels} from "./api.js";
import {ofDrop, ofFiles, ofFolder, ofPaste} from "./intake.js";
import {begin as beginJobs} from "./jobs.js";
import {keep, key} from "./key.js";
import {send} from "./uploads.js";

const one = selector => document.querySelector(selector);
const form = one("#form");

/** What went wrong, or that a key is wanted; null where all is well. */
function tell(problem) {
  if (problem?.status !== 401) return say(problem?.message ?? "");
  say(key() ? "The service does not know this key." : "");
  if (!one("#entry").hidden) return;
  one("#entry").hidden = false;
  one("#key").focus();
}

function say(text) { if (one("#problem").textContent !== text) one("#problem").textContent = text; }

// What is sent

function take({sources, other}) {
  const left = `${other} file${other === 1 ? " that is no picture or video was" : "s that are no pictures or videos were"} left out.`;
  one("#note").textContent = other ? left : "";
  send(sources, form);
}

form.file.addEventListener("change", () => { take(ofFiles(form.file.files)); form.file.value = ""; });
one("#folder").addEventListener("change", ({target}) => { take(ofFolder([...target.files])); target.value = ""; });
form.addEventListener("submit", event => {
  event.preventDefault();
  if (!form.url.value) return;
  take({sources: [{url: form.url.value}], other: 0});
  form.url.value = "";
});
document.addEventListener("paste", event => event.target.closest?.("input") || take(ofPaste(event.clipboardData)));
document.addEventListener("dragover", event => { event.preventDefault(); one("#drop").classList.add("over"); });
document.addEventListener("dragleave", () => one("#drop").classList.remove("over"));
document.addEventListener("drop", async event => {
  event.preventDefault();
  one("#drop").classList.remove("over");
  try {
    take(await ofDrop(event.dataTransfer.items));
  } catch (problem) {
    one("#note").textContent = `What was dropped can't be read: ${problem.message}`;
  }
});

// Models

let summaries = {};

async function offerModels() {
  try {
    const models = await listModels();
    summaries = Object.fromEntries(models.map(({name, summary}) => [name, summary ?? ""]));
    form.model.replaceChildren(form.model[0], ...models.map(({name}) => new Option(name, name)));
    one("#models").replaceChildren(...models.flatMap(({name, summary, default_for: kinds}) => [
      Object.assign(document.createElement("dt"), {textContent: kinds.length ? `${name}, default for ${kinds.join(" and ")}` : name}),
      Object.assign(document.createElement("dd"), {textContent: summary ?? ""}),
    ]));
  } catch (problem) {
    tell(problem);
  }
}
form.model.addEventListener("change", () => { one("#about-model").textContent = summaries[form.model.value] ?? ""; });

// The key

one("#entry").addEventListener("submit", event => {
  event.preventDefault();
  keep(one("#key").value.trim());
  event.target.reset();
  begin();
});
one("#forget").addEventListener("click", () => { keep(""); location.reload(); });

function begin() {
  one("#entry").hidden = true;
  one("#forget").hidden = !key();
  beginJobs(tell);
  offerModels();
}

begin();

/** The page: what is dropped is posted, two files at a time, and all jobs are followed by one request a second. */

import {listJobs, listModels, post, readJob} from "./api.js";
import {JobCard} from "./job-card.js";
import {keep, key} from "./key.js";
import {isOver} from "./words.js";

const UPLOADS_AT_ONCE = 2;  // a browser has six connections to a host, and the page needs some of them
const OPEN_MS = 1000, IDLE_MS = 10_000;

const one = selector => document.querySelector(selector);
const form = one("#form"), list = one("#jobs");
const cards = new Map();  // of jobs, by id
const waiting = [];  // uploads that are not begun
const onTheirWay = new Set();  // files whose upload is not answered yet
let older = null, summaries = {};

function say(problem) { one("#problem").textContent = problem; }

/** What went wrong, or that a key is wanted. */
function tell(problem) {
  if (problem.status !== 401) return say(problem.message);
  say(key() ? "The service does not know this key." : "");
  if (!one("#entry").hidden) return;
  one("#entry").hidden = false;
  one("#key").focus();
}

function show(card, where) {
  const item = document.createElement("li");
  item.append(card);
  list[where](item);
  one("#empty").hidden = true;
}

function see(job, where = "prepend") {
  const card = cards.get(job.id);
  if (card) return card.follow(job);
  if (mayBeUnanswered(job)) return;  // it has a card, and will be known by it at the next look
  const made = JobCard.ofJob(job);
  cards.set(job.id, made);
  show(made, where);
}

/** A job is listed as soon as the server has it, and its upload may hear of that later. */
function mayBeUnanswered(job) {
  return [...onTheirWay].some(file => file.name === job.filename && file.size === job.size_bytes);
}

// Uploads

function send(files) {
  const options = Object.fromEntries([...new FormData(form)].filter(([name]) => name !== "file"));
  for (const file of files) {
    const given = new AbortController();
    const card = JobCard.ofFile(file, () => { given.abort(); card.closest("li").remove(); });
    show(card, "prepend");
    card.waiting();
    waiting.push({file, options, card, signal: given.signal});
  }
  next();
}

async function sendOne({file, options, card, signal}) {
  onTheirWay.add(file);
  try {
    const job = await post(file, options, {signal, onSent: part => card.sent(part)});
    cards.set(job.id, card);
    card.follow(job);
    look();
  } catch (problem) {
    if (problem.name !== "AbortError") card.fail(problem.message);
  } finally {
    onTheirWay.delete(file);
  }
}

function next() {
  while (waiting.length && onTheirWay.size < UPLOADS_AT_ONCE) {
    const upload = waiting.shift();
    if (!upload.signal.aborted) sendOne(upload).finally(next);
  }
}

/** All files below what was dropped, folders opened. */
async function filesOf(items) {
  const found = [];
  async function open(entry) {
    if (entry.isFile) return found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    const reader = entry.createReader();
    for (;;) {  // a reader gives a hundred at a time
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const each of some) await open(each);
    }
  }
  for (const entry of [...items].map(item => item.webkitGetAsEntry()).filter(Boolean)) await open(entry);
  return found;
}

for (const chooser of [form.file, one("#folder")])
  chooser.addEventListener("change", () => { send([...chooser.files]); chooser.value = ""; });
form.addEventListener("submit", event => event.preventDefault());
document.addEventListener("paste", event => send([...event.clipboardData.files]));
document.addEventListener("dragover", event => { event.preventDefault(); one("#drop").classList.add("over"); });
document.addEventListener("dragleave", () => one("#drop").classList.remove("over"));
document.addEventListener("drop", async event => {
  event.preventDefault();
  one("#drop").classList.remove("over");
  send(await filesOf(event.dataTransfer.items));
});

// Jobs

let timer = null;

/** Look at all jobs now, and again soon while one is open. */
async function look() {
  clearTimeout(timer);
  try {
    const page = await listJobs();
    older ??= page.next;
    one("#more").hidden = !older;
    for (const job of [...page.jobs].reverse()) see(job);
    const seen = new Set(page.jobs.map(job => job.id));
    const left = [...cards.values()].filter(card => !isOver(card.job.state) && !seen.has(card.job.id));
    for (const card of left) card.follow(await readJob(card.job));
    say("");
  } catch (problem) {
    tell(problem);
  }
  const isOpen = [...cards.values()].some(card => !isOver(card.job.state));
  if (!document.hidden) timer = setTimeout(look, isOpen ? OPEN_MS : IDLE_MS);
}

one("#more").addEventListener("click", async () => {
  try {
    const page = await listJobs(older);
    older = page.next;
    one("#more").hidden = !older;
    for (const job of page.jobs) see(job, "append");
  } catch (problem) {
    tell(problem);
  }
});
document.addEventListener("visibilitychange", () => document.hidden || look());

// Models

async function offerModels() {
  try {
    const models = await listModels();
    summaries = Object.fromEntries(models.map(({name, summary}) => [name, summary]));
    form.model.replaceChildren(form.model[0], ...models.map(({name}) => new Option(name, name)));
  } catch (problem) {
    tell(problem);
  }
}
form.model.addEventListener("change", () => { one("#about-model").textContent = summaries[form.model.value] ?? ""; });

form.strength.addEventListener("input", () => { one("#about-strength").textContent = `${form.strength.value} %`; });

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
  look();
  offerModels();
}

begin();

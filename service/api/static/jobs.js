/** The list of jobs: a card for each, and all of them followed by one request a second. */

import {erase, listJobs, readJob, rerun} from "./api.js";
import {JobCard} from "./job-card.js";
import {isOver} from "./words.js";

const OPEN_MS = 1000, IDLE_MS = 10_000;

const one = selector => document.querySelector(selector);
const list = one("#jobs");
const cards = new Map();  // by job
const awaited = new Map();  // cards whose request is not answered yet, by the mark that their job will bear
const gone = new Set();  // deleted jobs, of which an answer may still tell that was on its way
let older = null, timer = null, tell = () => {};

export function add(card, where = "prepend") {
  const item = document.createElement("li");
  item.append(card);
  list[where](item);
  one("#empty").hidden = true;
}

/** The job that a request makes may be listed before that is answered: by its mark it finds its card. */
export function mark(card) {
  const page = Date.now().toString(36) + Math.random().toString(36).slice(2);
  awaited.set(page, card);
  const answered = job => {
    awaited.delete(page);
    if (job) see(job, card);
  };
  return {metadata: {page}, answered};
}

function see(job, known = null, where = "prepend") {
  const card = cards.get(job.id) ?? known ?? awaited.get(job.metadata.page);
  if (gone.has(job.id)) return;
  if (card) {
    cards.set(job.id, card);
    return card.follow(job);
  }
  const made = JobCard.ofJob(job);
  cards.set(job.id, made);
  add(made, where);
}

/** Look at all jobs now, and again soon while one is open. */
export async function look() {
  clearTimeout(timer);
  try {
    const page = await listJobs();
    older ??= page.next;
    one("#more").hidden = !older;
    for (const job of [...page.jobs].reverse()) see(job);
    const seen = new Set(page.jobs.map(job => job.id));
    for (const card of open()) if (!seen.has(card.job.id)) await lookAt(card);
    tell(null);
  } catch (problem) {
    tell(problem);
  }
  const waits = [...cards.values()].filter(card => card.isEstimated).length;
  one("#all").hidden = waits < 2;
  one("#all").textContent = `Upscale all ${waits} that were estimated`;
  if (!document.hidden) timer = setTimeout(look, open().length ? OPEN_MS : IDLE_MS);
}

/** One that is too old to be among the first, or was deleted elsewhere. */
async function lookAt(card) {
  try {
    see(await readJob(card.job));
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    remove(card);
  }
}

const open = () => [...cards.values()].filter(card => !isOver(card.job.state));

/** Another job of the same upload: on the same card where it takes the place of an estimate, else on one of its own. */
async function again(card, changes) {
  const {job} = card, takesPlace = job.purpose === "estimate" && !changes.sample;
  const other = takesPlace ? card : JobCard.ofUpload({name: job.filename});
  const {metadata, answered} = mark(other);
  try {
    const made = await rerun(job, {...changes, metadata});
    if (takesPlace) forget(job);
    else add(other);
    answered(made);
    if (takesPlace) await erase(job);
  } finally {
    answered(null);
  }
}

function remove(card) {
  forget(card.job);
  card.closest("li").remove();
  one("#empty").hidden = list.children.length > 0;
}

function forget(job) {
  gone.add(job.id);
  cards.delete(job.id);
}

list.addEventListener("again", ({target: card, detail: changes}) => card.trying(() => again(card, changes)));
list.addEventListener("delete", ({target: card}) =>
  card.trying(async () => {
    await erase(card.job);
    remove(card);
    one("#jobs-title").focus();
  }));
one("#all").addEventListener("click", () => {
  for (const card of cards.values()) if (card.isEstimated) card.upscale();
});
one("#more").addEventListener("click", async () => {
  try {
    const page = await listJobs(older);
    older = page.next;
    one("#more").hidden = !older;
    for (const job of page.jobs) see(job, null, "append");
  } catch (problem) {
    tell(problem);
  }
});
document.addEventListener("visibilitychange", () => document.hidden || look());

/** Begin to look; `onProblem` hears of each problem, and null after each look that went well. */
export function begin(onProblem) {
  tell = onProblem;
  look();
}

/** <job-card>: one file on its way, from its upload to its result, and what can be done with it. */

import {cancel, erase} from "./api.js";
import {BeforeAfter} from "./before-after.js";
import {bytes, isOver, pace, told} from "./words.js";

const PREVIEW_MS = 3000;  // a worker makes no more
const RATE_MS = 20_000;  // frames a second are counted over so long

export class JobCard extends HTMLElement {
  #job = null;
  #seen = [];  // [when, frames done]
  #previewAt = -Infinity;

  /** A card for a file, before there is a job; `onGiveUp` is called if the upload is not wanted any more. */
  static ofFile(file, onGiveUp) {
    const card = JobCard.#made(file.name);
    card.#one(".pace").textContent = bytes(file.size);
    card.#one(".cancel").onclick = onGiveUp;
    return card;
  }

  static ofJob(job) {
    const card = JobCard.#made(job.filename);
    card.follow(job);
    return card;
  }

  static #made(name) {
    const card = document.createElement("job-card");
    card.append(document.getElementById("job-card").content.cloneNode(true));
    card.#one(".name").textContent = name;
    return card;
  }

  get job() { return this.#job; }

  sent(part) {
    this.#say(part < 1 ? "uploading" : "arriving");
    this.#one("progress").value = part;
  }

  waiting() { this.#say("waiting for its turn"); }

  /** Show what went wrong, with the file kept in sight. */
  fail(problem) {
    this.#say("failed");
    this.#one("progress").hidden = this.#one(".cancel").hidden = true;
    Object.assign(this.#one(".error"), {textContent: problem, hidden: false});
  }

  /** Show the job as it stands. */
  follow(job) {
    if (this.#job && job.updated_at < this.#job.updated_at) return;  // answers may overtake each other
    const isNew = this.#job === null, over = isOver(job.state), done = job.state === "succeeded";
    this.#job = job;
    this.#say(job.state);
    const bar = this.#one("progress");
    bar.hidden = over;
    if (job.progress.ratio === null) bar.removeAttribute("value");
    else bar.value = job.progress.ratio;
    this.#one(".pace").textContent = over ? this.#size() : pace(job.progress, this.#rate());
    if (job.error) this.fail(job.error.message);
    this.#one(".cancel").hidden = over;
    this.#one(".delete").hidden = !over || job.state === "expired";
    this.#one(".result").hidden = !done;
    this.#one(".compare").hidden = !done || this.#one("before-after") !== null;
    if (done) this.#one(".result").href = job.links.result;
    this.#report();
    this.#preview(over);
    if (!isNew) return;
    this.#one(".cancel").onclick = () => this.#try(async () => this.follow(await cancel(this.#job)));
    this.#one(".delete").onclick = () => this.#try(async () => { await erase(this.#job); this.closest("li").remove(); });
    this.#one(".compare").onclick = () => this.#compare();
  }

  #one(selector) { return this.querySelector(selector); }

  #say(text) { if (this.#one(".state").textContent !== text) this.#one(".state").textContent = text; }

  #size() {
    const {frames_total: frames} = this.#job.progress;
    return [bytes(this.#job.size_bytes), ...(this.#job.kind !== "image" && frames ? [`${frames} frames`] : [])].join(", ");
  }

  #rate() {
    const now = performance.now(), done = this.#job.progress.frames_done;
    this.#seen = [...this.#seen.filter(([when]) => now - when < RATE_MS), [now, done]];
    const [[since, before]] = this.#seen;
    return done > before ? 1000 * (done - before) / (now - since) : null;
  }

  #report() {
    const lines = told(this.#job), list = this.#one(".told ul");
    if (list.children.length === lines.length) return;
    this.#one(".told").hidden = false;
    list.replaceChildren(...lines.map(text => Object.assign(document.createElement("li"), {textContent: text})));
  }

  /** Look at most every PREVIEW_MS, and go on showing the old frame where there is no new one. */
  #preview(isLast) {
    const {kind, links} = this.#job, now = performance.now(), shown = this.#one(".shown");
    const isDue = isLast ? this.#previewAt < Infinity : kind !== "image" && now - this.#previewAt >= PREVIEW_MS;
    if (!links.preview || !isDue || this.#one("before-after")) return;
    this.#previewAt = isLast ? Infinity : now;
    const next = Object.assign(new Image(), {className: "preview", alt: "The frame finished last"});
    next.onload = () => this.#one("before-after") || shown.replaceChildren(next);
    next.src = `${links.preview}?${Math.round(now)}`;  // a page keeps what it has for an address it knows
  }

  async #try(work) {
    try {
      await work();
    } catch (problem) {
      Object.assign(this.#one(".error"), {textContent: problem.message, hidden: false});
    }
  }

  /** The upload and the result as this browser shows them; where it can't show one, it says so. */
  async #compare() {
    const {kind, links} = this.#job, button = this.#one(".compare");
    button.disabled = true;
    try {
      const [before, after] = await Promise.all([links.input, links.result].map(address => shownBy(kind, address)));
      const shape = kind === "video" ? after.videoWidth / after.videoHeight : after.naturalWidth / after.naturalHeight;
      this.#one(".shown").replaceChildren(BeforeAfter.of(before, after, shape));
      button.hidden = true;
      this.#one(".split").focus();
    } catch {
      const text = "This browser can't show one of the two files: download the result to see it.";
      Object.assign(this.#one(".error"), {textContent: text, hidden: false});
    }
    button.disabled = false;
  }
}

/** An <img> or <video> of the file, once it has its size. */
function shownBy(kind, address) {
  return new Promise((resolve, reject) => {
    const element = kind === "video" ? document.createElement("video") : new Image();
    element.onloadedmetadata = element.onload = () => resolve(element);
    element.onerror = () => reject(element.error);
    if (kind !== "video") element.alt = "";
    element.src = address;
  });
}

customElements.define("job-card", JobCard);

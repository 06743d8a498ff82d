/** <job-card>: one file on its way, from its upload to its result, and what can be done with it.
 *
 *  What makes another job of it, or none, is for the list to do: the card sends it "again", with what changes, or "delete".
 */

import {withAdvice} from "./advice.js";
import {cancel} from "./api.js";
import {AS_SAMPLE, AS_WHOLE, changesFor} from "./options.js";
import {Shown} from "./shown.js";
import {bytes, expected, isOver, pace, state, told} from "./words.js";

export class JobCard extends HTMLElement {
  #job = null;
  #shown = null;
  #isBusy = false;
  #isCompared = false;

  /** A card before there is a job; `onGiveUp` is called if it is not wanted any more. */
  static ofUpload({name, size}, onGiveUp = () => {}) {
    const card = document.createElement("job-card");
    card.append(document.getElementById("job-card").content.cloneNode(true));
    card.#one(".name").textContent = name;
    card.#one(".pace").textContent = size === undefined ? "" : bytes(size);
    card.#one(".cancel").onclick = onGiveUp;
    card.#listen();
    return card;
  }

  static ofJob(job) {
    const card = JobCard.ofUpload({name: job.filename});
    card.follow(job);
    return card;
  }

  get job() { return this.#job; }

  /** Whether it is an estimate that waits for what its reader will say. */
  get isEstimated() { return this.#job?.purpose === "estimate" && this.#job.state === "succeeded"; }

  say(text) { if (this.#one(".state").textContent !== text) this.#one(".state").textContent = text; }

  sent(part) {
    this.say(part < 1 ? "uploading" : "arriving");
    this.#one("progress").value = part;
  }

  /** Show what went wrong, with the file kept in sight. */
  fail(problem) {
    this.say("failed");
    this.#hide("progress", true);
    this.#hide(".cancel", true);
    this.#complain(withAdvice(problem));
  }

  /** Make all of what was estimated or sampled. */
  upscale() { this.#send("again", AS_WHOLE); }

  /** Do it, one thing at a time, and say here what goes wrong. */
  async trying(work) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#complain("");
    try {
      await work();
    } catch (problem) {
      this.#complain(withAdvice(problem));
    }
    this.#isBusy = false;
    this.#offer();
  }

  /** Show the job as it stands. */
  follow(job) {
    if (this.#job && job.updated_at < this.#job.updated_at) return;  // answers may overtake each other
    this.#job = job;
    const over = isOver(job.state);
    this.#one(".name").textContent = job.filename;
    this.say(state(job));
    this.#progress(over);
    this.#list(".expected ul", this.isEstimated ? expected(job) : []);
    this.#list(".told ul", told(job));
    if (job.error) this.fail(job.error);
    this.#offer();
    this.#shown.follow(job, over);
  }

  #one(selector) { return this.querySelector(selector); }

  /** Before the button that has the focus goes, and the focus with it. */
  #leave() { this.#one(".name").focus(); }

  #hide(selector, isHidden) { this.#one(selector).hidden = isHidden; }

  #complain(text) { Object.assign(this.#one(".error"), {textContent: text, hidden: !text}); }

  #send(name, detail) { this.dispatchEvent(new CustomEvent(name, {bubbles: true, detail})); }

  #listen() {
    this.#shown = new Shown(this.#one(".shown"));
    const form = document.getElementById("form");
    this.#one(".upscale").onclick = () => { this.#leave(); this.upscale(); };
    this.#one(".sample").onclick = () => this.#send("again", AS_SAMPLE);
    this.#one(".again").onclick = () => this.#send("again", changesFor(form, this.#job.kind !== "video"));
    this.#one(".delete").onclick = () => this.#send("delete");
    this.#one(".compare").onclick = () => this.trying(() => this.#compare());
  }

  #progress(over) {
    const {progress, kind, size_bytes: size} = this.#job, bar = this.#one("progress");
    bar.hidden = over;
    if (progress.ratio === null) bar.removeAttribute("value");
    else bar.value = progress.ratio;
    const frames = kind !== "image" && progress.frames_total ? `, ${progress.frames_total} frames` : "";
    this.#one(".pace").textContent = over ? bytes(size) + frames : pace(this.#job);
  }

  /** The sentences, where they are others than those that stand there. */
  #list(selector, sentences) {
    const list = this.#one(selector);
    if (list.textContent === sentences.join("")) return;
    list.closest("details")?.toggleAttribute("hidden", !sentences.length);
    list.replaceChildren(...sentences.map(text => Object.assign(document.createElement("li"), {textContent: text})));
  }

  /** What can be done now. */
  #offer() {
    const {state, purpose, kind, links} = this.#job, over = isOver(state), isDone = links.result !== null;
    const isSample = purpose === "sample";
    this.#hide(".cancel", over);
    this.#hide(".upscale", !this.isEstimated && !(isSample && isDone));
    this.#hide(".sample", !this.isEstimated || kind !== "video");
    this.#hide(".result", !isDone);
    this.#hide(".compare", !isDone || this.#isCompared);
    this.#hide(".again", !over || purpose !== "upscale" || !links.input);
    this.#hide(".delete", !over);
    if (isDone) this.#one(".result").href = links.result;
    this.#one(".upscale").textContent = isSample ? "Upscale all of it" : "Upscale";
    this.#one(".cancel").onclick = () => {
      this.#leave();
      this.trying(async () => this.follow(await cancel(this.#job)));
    };
  }

  async #compare() {
    const button = this.#one(".compare");
    button.disabled = true;
    try {
      this.#isCompared = true;
      const couldAll = await this.#shown.compare(this.#job);
      if (!couldAll) this.#complain("This browser can't show one of the two files: here is the last frame. Download the result to see it all.");
      this.#one(".split").focus();
    } catch {
      this.#complain("This browser can't show one of the two files: download the result to see it.");
    }
    button.disabled = false;
  }
}

customElements.define("job-card", JobCard);

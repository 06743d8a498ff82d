/** What a card shows of its job: the frame finished last, beside its source while it runs; and the files, compared. */

import {BeforeAfter} from "./before-after.js";

const EVERY_MS = 3000;  // a worker makes no more

export class Shown {
  #place;
  #at = -Infinity;  // when a preview was asked for last
  #frames = null;  // the two canvases, while they are shown

  constructor(place) { this.#place = place; }

  /** Look at the latest frame if it is time to, or if there will be no other. */
  follow(job, isLast) {
    const now = performance.now();
    const isDue = isLast ? this.#at < Infinity : job.kind !== "image" && now - this.#at >= EVERY_MS;
    if (!job.links.preview || !isDue) return;
    this.#at = isLast ? Infinity : now;
    if (isLast && !this.#frames) this.#frame(job);
    else this.#pair(job).catch(() => {});  // what is shown stays; the next may be there
  }

  /** The upload and the result; where this browser can't show one, a frame of each. Whether it could. */
  async compare(job) {
    const {kind, links, report} = job;
    this.#at = Infinity;
    try {
      const [before, after] = await Promise.all([links.input, links.result].map(address => file(kind, address)));
      const shape = kind === "video" ? after.videoWidth / after.videoHeight : after.naturalWidth / after.naturalHeight;
      this.#frames = null;
      this.#place.replaceChildren(BeforeAfter.of(before, after, shape, report.start_s ?? 0));
      return true;
    } catch {
      await this.#pair(job);
      return false;
    }
  }

  async #frame({links}) {
    const picture = await loaded(new Image(), `${links.preview}?at=${Date.now()}`).catch(() => null);
    if (!picture || this.#place.querySelector("before-after")) return;
    this.#place.replaceChildren(Object.assign(picture, {className: "preview", alt: "The frame finished last"}));
  }

  /** Painted over those before, so that edge, zoom and place stay as they were left. */
  async #pair({links}) {
    // A page keeps what it has for an address it knows.
    const both = await loaded(new Image(), `${links.preview}?before=true&at=${Date.now()}`);
    const width = both.naturalWidth / 2, height = both.naturalHeight;
    if (!this.#frames) {
      this.#frames = [canvas("before"), canvas("after")];
      this.#place.replaceChildren(BeforeAfter.of(...this.#frames, width / height));
    }
    for (const [index, frame] of this.#frames.entries()) {
      Object.assign(frame, {width, height});
      frame.getContext("2d").drawImage(both, -index * width, 0);
    }
  }
}

function canvas(which) {
  const made = document.createElement("canvas");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `The frame finished last, ${which}`);
  return made;
}

/** An <img> or <video> of the file, once it has its size. */
function file(kind, address) {
  if (kind === "video") return loaded(document.createElement("video"), address);
  return loaded(Object.assign(new Image(), {alt: ""}), address);
}

function loaded(element, address) {
  return new Promise((resolve, reject) => {
    element.onloadedmetadata = element.onload = () => resolve(element);
    element.onerror = () => reject(new Error("it can't be shown"));
    element.src = address;
  });
}

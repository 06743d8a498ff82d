/**
 * <before-after>: two pictures, canvases or videos of one size behind a movable edge, or beside each other.
 *
 * Both are zoomed and moved together; videos play together (in-step.js).
 */

import {keepInStep} from "./in-step.js";

const MOVE = 16;  // pixels an arrow key moves a zoomed picture

export class BeforeAfter extends HTMLElement {
  #zoom = 1;
  #at = {x: 0, y: 0};  // what of the layers lies in the view's corner, in pixels of the view
  #held = null;

  /** Elements that show the same; `shape` is width by height, and `start` the second of `before` where `after` begins. */
  static of(before, after, shape, start = 0) {
    const made = document.createElement("before-after");
    made.append(document.getElementById("before-after").content.cloneNode(true));
    made.style.setProperty("--shape", shape);
    made.#one(".before").append(before);
    made.#one(".after").append(after);
    made.#listen();
    if (after instanceof HTMLVideoElement) made.#play(before, after, start);
    return made;
  }

  #one(selector) { return this.querySelector(selector); }

  #listen() {
    const view = this.#one(".view"), split = this.#one(".split"), zoom = this.#one(".zoom");
    split.oninput = () => this.#place();
    zoom.onchange = () => this.#zoomTo(Number(zoom.value), view.clientWidth / 2, view.clientHeight / 2);
    this.#one(".beside").onchange = ({target}) => {
      this.classList.toggle("is-beside", target.checked);
      split.disabled = target.checked;
      this.#at = {x: 0, y: 0};
      this.#place();
    };
    view.onpointerdown = event => {
      view.setPointerCapture(event.pointerId);
      this.#held = {x: event.clientX, y: event.clientY, pans: this.#pans(event)};
      this.#drag(event);
    };
    view.onpointermove = event => this.#held && this.#drag(event);
    view.onpointerup = view.onpointercancel = () => { this.#held = null; };
    view.onkeydown = event => {
      const [x, y] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key] ?? [0, 0];
      if (!x && !y) return;
      event.preventDefault();
      this.#move(x * MOVE, y * MOVE);
    };
    view.addEventListener("wheel", event => {
      if (!event.ctrlKey && this.#zoom === 1) return;  // the page scrolls
      event.preventDefault();
      const box = view.getBoundingClientRect();
      this.#zoomTo(this.#zoom * Math.exp(-event.deltaY / 300), event.clientX - box.x, event.clientY - box.y);
    }, {passive: false});
    this.#place();
  }

  /** Near the edge a drag moves the edge; elsewhere in a zoomed view it moves the picture. */
  #pans(event) {
    if (this.classList.contains("is-beside")) return true;
    const box = this.#one(".view").getBoundingClientRect();
    const distance = Math.abs(event.clientX - box.x - box.width * this.#one(".split").value / 100);
    return this.#zoom > 1 && distance > 24;
  }

  #drag(event) {
    if (this.#held.pans) {
      this.#move(this.#held.x - event.clientX, this.#held.y - event.clientY);
      this.#held = {...this.#held, x: event.clientX, y: event.clientY};
    } else {
      const box = this.#one(".view").getBoundingClientRect();
      this.#one(".split").value = 100 * (event.clientX - box.x) / box.width;
      this.#place();
    }
  }

  #move(x, y) {
    this.#at = {x: this.#at.x + x, y: this.#at.y + y};
    this.#place();
  }

  #zoomTo(zoom, x, y) {
    const grown = Math.min(16, Math.max(1, zoom)) / this.#zoom;
    this.#zoom *= grown;
    this.#at = {x: (this.#at.x + x) * grown - x, y: (this.#at.y + y) * grown - y};
    this.#place();
  }

  #place() {
    const beside = this.classList.contains("is-beside"), layers = this.#one(".layers");
    const seen = beside ? this.#one(".after") : this.#one(".view");
    const {clientWidth: width, clientHeight: height} = seen, zoom = this.#zoom;
    const x = Math.min(Math.max(0, this.#at.x), width * (zoom - 1)), y = Math.min(Math.max(0, this.#at.y), height * (zoom - 1));
    this.#at = {x, y};
    const shift = `translate(${-x}px, ${-y}px) scale(${zoom})`;
    layers.style.transform = beside ? "" : shift;
    for (const shown of layers.querySelectorAll("img, video, canvas")) {
      shown.style.transform = beside ? shift : "";
    }
    const split = Number(this.#one(".split").value);
    this.style.setProperty("--split", `${split}%`);
    this.style.setProperty("--edge", `${width ? 100 * (x + width * split / 100) / (width * zoom) : split}%`);
  }

  #play(before, after, start) {
    const button = this.#one(".play"), seek = this.#one(".seek");
    button.hidden = this.#one(".time").hidden = false;
    for (const video of [before, after]) Object.assign(video, {muted: true, playsInline: true, preload: "auto"});
    keepInStep(before, after, start);
    const show = () => { button.textContent = after.paused ? "Play" : "Pause"; };
    seek.max = after.duration;
    seek.oninput = () => { after.currentTime = Number(seek.value); };
    after.addEventListener("timeupdate", () => { seek.value = after.currentTime; });
    after.addEventListener("ended", () => { after.currentTime = 0; });
    for (const change of ["play", "pause", "ended"]) after.addEventListener(change, show);
    button.onclick = () => (after.paused ? after.play().catch(() => {}) : after.pause());
  }
}

customElements.define("before-after", BeforeAfter);

/** Uploads: what is sent, two at a time, and becomes a job or is only estimated. */

import {post} from "./api.js";
import {JobCard} from "./job-card.js";
import {add, look, mark} from "./jobs.js";
import {isPicture, optionsFor} from "./options.js";

const AT_ONCE = 2;  // a browser has six connections to a host, and the page needs some of them

const waiting = [];
let underWay = 0;

/** Send each source with what the form says now. */
export function send(sources, form) {
  for (const source of sources) {
    const given = new AbortController(), what = source.file ?? {name: nameIn(source.url), type: ""};
    const isEstimate = form.ask.checked && !isPicture(what);
    const card = JobCard.ofUpload(what, () => { given.abort(); card.closest("li").remove(); });
    add(card);
    card.say("waiting for its turn");
    const fields = {...optionsFor(form, isPicture(what)), ...source};
    waiting.push({address: isEstimate ? "/estimate" : "/upscale", fields, card, signal: given.signal});
  }
  next();
}

function next() {
  while (waiting.length && underWay < AT_ONCE) {
    const upload = waiting.shift();
    if (upload.signal.aborted) continue;
    underWay += 1;
    sendOne(upload).finally(() => { underWay -= 1; next(); });
  }
}

async function sendOne({address, fields, card, signal}) {
  const {metadata, answered} = mark(card);
  if (fields.url) card.say("being fetched");
  try {
    answered(await post(address, {...fields, metadata: JSON.stringify(metadata)}, {signal, onSent: part => card.sent(part)}));
    look();
  } catch (problem) {
    if (problem.name !== "AbortError") card.fail(problem);
    answered(null);
  }
}

function nameIn(address) {
  const {hostname, pathname} = new URL(address);
  return decodeURI(pathname.split("/").pop()) || hostname;
}

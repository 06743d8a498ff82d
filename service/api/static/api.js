/** What the page asks of the service. Errors are Problems: what went wrong, in words. */

import {headers} from "./key.js";

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? (status ? `HTTP ${status}` : "The service does not answer. It will be asked again."));
    this.status = status;
  }
}

async function ask(address, init) {
  let answer;
  try {
    answer = await fetch(address, {...init, headers: headers()});
  } catch {
    throw new Problem(0);
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}

export const listModels = async () => (await ask("/models")).models;
export const listJobs = (cursor = null) => ask(`/jobs?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
export const readJob = job => ask(job.links.self);
export const cancel = job => ask(`${job.links.self}/cancel`, {method: "POST"});
export const erase = job => ask(job.links.self, {method: "DELETE"});

/** Post a file; `onSent` hears the part that is sent, from 0 to 1. Resolves to the job. */
export function post(file, options, {onSent, signal}) {
  const body = new FormData(), request = new XMLHttpRequest();  // fetch does not tell how far an upload is
  for (const [name, value] of Object.entries(options)) if (value !== "") body.append(name, value);
  body.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    request.open("POST", "/upscale");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = event => event.lengthComputable && onSent(event.loaded / event.total);
    request.onload = () =>
      request.status === 202 ? resolve(request.response) : reject(new Problem(request.status, request.response));
    request.onerror = () => reject(new Problem(0));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

/** What the page asks of the service. Errors are Problems: what went wrong, in words. */

import {headers} from "./key.js";

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? (status ? `HTTP ${status}` : "The service does not answer. It will be asked again."));
    this.status = status;
    this.code = body?.type?.split("/").pop() ?? "";
  }
}

async function ask(address, init) {
  let answer;
  try {
    answer = await fetch(address, {...init, headers: {...init?.headers, ...headers()}});
  } catch {
    throw new Problem(0);
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}

const LISTED = "/jobs?limit=20&purpose=upscale&purpose=sample&purpose=estimate";

export const listModels = async () => (await ask("/models")).models;
export const listJobs = (cursor = null) => ask(LISTED + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""));
export const readJob = job => ask(job.links.self);
export const cancel = job => ask(`${job.links.self}/cancel`, {method: "POST"});
export const erase = job => ask(job.links.self, {method: "DELETE"});
export const rerun = (job, changes) =>
  ask(`${job.links.self}/rerun`,
    {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(changes)});

/** Post a form; `onSent` hears the part of it that is sent, from 0 to 1. Resolves to the job. */
export function post(address, fields, {onSent, signal}) {
  const body = new FormData(), request = new XMLHttpRequest();  // fetch does not tell how far an upload is
  for (const [name, value] of Object.entries(fields)) if (name !== "file") body.append(name, value);
  if (fields.file) body.append("file", fields.file, fields.file.name);
  const given = {Prefer: "wait=0", ...headers()};  // all jobs are looked at anyway
  return new Promise((resolve, reject) => {
    request.open("POST", address);
    for (const [name, value] of Object.entries(given)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = event => fields.file && event.lengthComputable && onSent(event.loaded / event.total);
    request.onload = () =>
      request.status < 300 ? resolve(request.response) : reject(new Problem(request.status, request.response));
    request.onerror = () => reject(new Problem(0));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

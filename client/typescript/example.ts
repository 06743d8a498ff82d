/** A client made of the types alone: `tsc` holds it to the document. */

import createClient from "openapi-fetch";
import type {components, paths} from "./api";

export type Job = components["schemas"]["JobView"];

export function connect(server: string, key?: string) {
  return createClient<paths>({baseUrl: `${server}/v1`, headers: key ? {Authorization: `Bearer ${key}`} : {}});
}

/** Post a file and wait for its job. */
export async function upscale(server: string, file: File, scale: 2 | 3 | 4): Promise<Job> {
  const client = connect(server);
  const form = new FormData();
  form.append("scale", String(scale));
  form.append("file", file);
  const posted = await client.POST("/upscale", {
    body: {file: "", scale},
    bodySerializer: () => form,
  });
  if (posted.error) throw new Error(posted.error.detail);
  let job: Job = posted.data;
  while (!job.is_terminal) {
    const seen = await client.GET("/jobs/{job_id}", {
      params: {path: {job_id: job.id}, header: {prefer: "wait=30"}},
    });
    if (seen.error) throw new Error(seen.error.detail);
    job = seen.data;
  }
  return job;
}

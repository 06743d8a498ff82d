/** Numbers and reports as people say them. */

export const isOver = state => !["queued", "planning", "running", "assembling"].includes(state);

export function bytes(count) {
  const names = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(names.length - 1, count < 1 ? 0 : Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(power && count / 1000 ** power < 10 ? 1 : 0)} ${names[power]}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** How far a job is: "96 of 240 frames, 3.1 a second, 46 s left". `rate` is frames a second, or null. */
export function pace({frames_done: done, frames_total: total}, rate) {
  if (!total) return "";
  const parts = [`${done} of ${total} frames`];
  if (rate) parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} a second`, `${duration((total - done) / rate)} left`);
  return parts.join(", ");
}

/** The report's facts and notices, a sentence each. */
export function told(job) {
  const {report, model, version} = job, said = [];
  if (!report) return said;
  said.push(`By ${model}, version ${version}.`);
  if (report.wall_s) said.push(`In ${duration(report.wall_s)}, ${report.frames_out ?? report.frames_in} frames.`);
  if (report.frames_reused) said.push(`${report.frames_reused} frames equal to the one before were not computed again.`);
  for (const notice of report.notices ?? []) said.push(`${notice[0].toUpperCase()}${notice.slice(1)}.`);
  return said;
}

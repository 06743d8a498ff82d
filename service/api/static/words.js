/** Numbers, estimates and reports as people say them. */

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

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const sentence = text => `${text[0].toUpperCase()}${text.slice(1)}.`;

/** What a job is at; of estimates and samples, that they are such. */
export function state({state: name, purpose}) {
  if (purpose === "estimate") {
    if (name === "succeeded") return "estimated";
    return isOver(name) ? name : "being looked into";
  }
  return purpose === "sample" ? `sample: ${name}` : name;
}

/** How far a job is: "96 of 240 frames, 3.1 a second, 46 s left", or how many come before it. */
export function pace({progress, queue_position: before}) {
  if (before) return `${count(before, "job")} before it`;
  if (!progress.frames_total) return "";
  const parts = [`${progress.frames_done} of ${count(progress.frames_total, "frame")}`], rate = progress.frames_per_s;
  if (rate) parts.push(`${rate.toFixed(rate < 10 ? 1 : 0)} a second`);
  if (progress.remaining_s) parts.push(`${duration(progress.remaining_s)} left`);
  return parts.join(", ");
}

/** What the estimate of a job comes to, a sentence each. */
export function expected({report}) {
  const {frames, width, height, format, codec, result_bytes: size, seconds, wait_s: wait} = report.estimate;
  const said = [`${count(frames, "frame")} of ${width} x ${height}, as ${format}${codec ? ` (${codec})` : ""}, by ${report.model}.`];
  if (size !== null) said.push(`About ${bytes(size)}.`);
  if (seconds === null) said.push("How long it takes is not known before a first job of this kind: a sample tells.");
  else said.push(`About ${duration(seconds)} of work${wait >= 1 ? `, after ${duration(wait)} for the jobs before it` : ""}.`);
  return [...said, ...(report.notices ?? []).map(sentence)];
}

/** The report's facts and notices, a sentence each. */
export function told(job) {
  const {report, model, version} = job, said = [];
  if (!report || job.purpose === "estimate") return said;
  said.push(`By ${model}, version ${version}.`);
  if (report.wall_s) said.push(`In ${duration(report.wall_s)}, ${count(report.frames_out ?? report.frames_in, "frame")}.`);
  if (report.result_bytes) said.push(`${bytes(report.result_bytes)}${report.codec ? ` of ${report.codec}` : ""}.`);
  if (report.frames_reused) said.push(`${report.frames_reused} frames equal to the one before were not computed again.`);
  for (const {what, why} of report.dropped ?? []) said.push(sentence(`dropped: ${what}, ${why}`));
  return [...said, ...(report.notices ?? []).map(sentence)];
}

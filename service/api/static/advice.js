/** What a person can do about a problem, by its code (docs/errors.md has them all). */

const ADVICE = {
  address_refused: "Give an https address that anyone can open.",
  address_unknown: "Check the spelling of the address.",
  broken_media: "Check that it plays, and export it again.",
  daily_limit: "Come back tomorrow, or ask the operator for more.",
  frame_too_large: "Send a smaller one.",
  invalid_option: "Change that above, and send it again.",
  models_not_published: "Send it again in a moment.",
  no_video: "Send a file with a picture.",
  not_media: "Send mp4, mov, mkv, webm, avi, PNG, JPEG, WebP, TIFF, BMP, AVIF or GIF.",
  queue_full: "Send it again when some of the jobs are done.",
  result_expired: "Send the file again.",
  source_unavailable: "Check that the address opens without a login, or send the file itself.",
  storage_full: "Delete jobs that are not needed any more.",
  too_busy: "Send it again in a moment.",
  too_long: "Choose a part of it, under “More”.",
  too_many_open_jobs: "Send it again when some of your jobs are done.",
  too_many_requests: "Send it again in a minute.",
  unsupported_media: "Convert it first.",
  upload_too_large: "Cut it, or make it smaller.",
  upload_truncated: "Send it again.",
};

/** What went wrong, and what to do where that is known. */
export function withAdvice({code, message}) {
  const said = /[.!?]$/.test(message) ? message : `${message}.`;
  return code in ADVICE ? `${said} ${ADVICE[code]}` : said;
}

/** Two videos that show the same moment, whether they play or not. */

const FAR_S = 0.25;  // further apart, one jumps; else it runs a little faster or slower
const CATCH_UP_S = 0.5;  // in which it makes good what it is behind

/** `follower` plays, stops and seeks with `leader`, which begins at the follower's second `start`. */
export function keepInStep(follower, leader, start) {
  const behind = () => leader.currentTime + start - follower.currentTime;
  const jump = () => { follower.currentTime = leader.currentTime + start; };
  const keepUp = () => {
    if (leader.paused) return;
    if (Math.abs(behind()) > FAR_S) jump();
    else follower.playbackRate = Math.min(2, Math.max(0.5, 1 + behind() / CATCH_UP_S));
  };
  leader.addEventListener("play", () => { jump(); follower.play().catch(() => {}); });
  leader.addEventListener("pause", () => { follower.pause(); jump(); });
  leader.addEventListener("seeked", jump);
  leader.addEventListener("timeupdate", keepUp);
  if ("requestVideoFrameCallback" in leader) {
    const atFrame = () => { keepUp(); leader.requestVideoFrameCallback(atFrame); };
    leader.requestVideoFrameCallback(atFrame);
  }
  jump();
}

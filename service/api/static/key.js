/** The caller's key, where the service asks for one. It lies in a cookie of this browser's session, since what a
 *  browser asks for by itself (pictures, videos, downloads) carries no header; the service takes the cookie for
 *  reading alone, and all else needs the header. */

const COOKIE = "upscaled_key";  // service/api/callers.py

export const key = () =>
  document.cookie.split("; ").find(each => each.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1) ?? "";

export function keep(text) {
  const safe = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${COOKIE}=${text}; Path=/; SameSite=Strict${safe}${text ? "" : "; Max-Age=0"}`;
}

export const headers = () => (key() ? {Authorization: `Bearer ${key()}`} : {});

/** What the form says, as the fields of a request for one file. */

const PICTURE = /\.(png|jpe?g|webp|tiff?|bmp|avif|gif)$/i, VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi)$/i;
const OF_VIDEOS = ["codec", "deinterlace", "start", "duration"];
const NUMBERS = ["scale", "width", "height", "strength", "quality", "start", "duration"];

export const isPicture = ({name, type}) => type ? type.startsWith("image/") : PICTURE.test(name);
export const isMedia = ({name, type}) => /^(image|video)\//.test(type) || PICTURE.test(name) || VIDEO.test(name);

/** By name, and only what is not the default. What is for videos is left out of a picture's, which would be refused. */
export function optionsFor(form, isOfPicture) {
  const said = new FormData(form), [how, much] = said.get("large").split("=");
  const fields = {
    [how]: much,
    model: said.get("model"),
    strength: said.get("strength"),
    quality: said.get("quality"),
    strip: said.get("strip"),
    format: said.get(isOfPicture ? "picture-format" : "video-format"),
  };
  const sides = ["width", "height"].filter(side => said.get(side));
  if (sides.length) delete fields[how];
  for (const name of isOfPicture ? sides : [...sides, ...OF_VIDEOS]) fields[name] = said.get(name);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
}

/** The same as what a rerun changes: what is not said goes back to its default. */
export function changesFor(form, isOfPicture) {
  const changes = {sample: null};
  for (const name of ["model", "strength", "quality", "strip", "format", ...OF_VIDEOS]) changes[name] = null;
  for (const [name, value] of Object.entries(optionsFor(form, isOfPicture)))
    changes[name] = NUMBERS.includes(name) ? Number(value) : value;
  return changes;
}

/** What changes where three seconds are to be made of a job's upload, and where all of it is. */
export const AS_SAMPLE = {sample: true, start: null, duration: null}, AS_WHOLE = {sample: null};
